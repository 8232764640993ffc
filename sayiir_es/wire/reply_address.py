"""Where a reply goes: headers of a request, or of a command whose decision is told.

`reply-to` is `PARTITION/CLIENT/CALL`: a partition of the replies topic, the name of the
client, which is the key of the reply, and a number by which the client knows its call.
A command may have the header `reply-when` too: `decided`, `ended`, or both with a comma
between. It says whether the decision is told, the end of the instance, or both; a
rejection is told in any case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.fast_frozen import fast_frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

REPLY_TO = "reply-to"
REPLY_WHEN = "reply-when"

CLIENT_BYTES_MAX = 64
"""The longest name of a client."""


_TOLD_WHEN = {
    b"decided": (True, False),
    b"ended": (False, True),
    b"decided,ended": (True, True),
}
"""What the usual values of `reply-when` ask for: the decision, and the end."""


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyAddress:
    """Where a reply goes, and what about a command it is to tell."""

    partition: int
    client: str
    call: int
    decided: bool = True
    ended: bool = False

    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """The headers of the record that asks."""
        to = (REPLY_TO, f"{self.partition}/{self.client}/{self.call}".encode())
        if not self.ended:
            return (to,)
        when = b"decided,ended" if self.decided else b"ended"
        return (to, (REPLY_WHEN, when))


def read_reply_address(
    headers: Sequence[tuple[str, bytes]], reply_partitions: int
) -> ReplyAddress | None:
    """The address in a record's headers; None where there is none that is one."""
    to: bytes | None = None
    when = b"decided"
    for name, value in headers:
        if name == REPLY_TO:
            to = value
        elif name == REPLY_WHEN:
            when = value
    if to is None:
        return None
    try:
        partition_text, client, call_text = to.decode("ascii").split("/")
        partition, call = int(partition_text), int(call_text)
    except ValueError:
        return None
    fits = 0 <= partition < reply_partitions and 0 <= call < 1 << 63
    if not fits or not 0 < len(client) <= CLIENT_BYTES_MAX:
        return None
    decided, ended = _TOLD_WHEN.get(when) or _read_when(when)
    return ReplyAddress(
        partition=partition, client=client, call=call, decided=decided, ended=ended
    )


def _read_when(value: bytes) -> tuple[bool, bool]:
    words = {word.strip() for word in value.split(b",")}
    return b"decided" in words, b"ended" in words


def reply_headers(
    headers: Sequence[tuple[str, bytes]],
) -> tuple[tuple[str, bytes], ...]:
    """Those of a record's headers that say where a reply goes."""
    return tuple(pair for pair in headers if pair[0] in (REPLY_TO, REPLY_WHEN))
