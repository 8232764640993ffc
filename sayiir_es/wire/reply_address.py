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

if TYPE_CHECKING:
    from collections.abc import Sequence

REPLY_TO = "reply-to"
REPLY_WHEN = "reply-when"

CLIENT_BYTES_MAX = 64
"""The longest name of a client."""


@dataclass(frozen=True, slots=True)
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
    address: ReplyAddress | None = None
    when = b"decided"
    for name, value in headers:
        if name == REPLY_TO:
            address = _read_address(value, reply_partitions)
        elif name == REPLY_WHEN:
            when = value
    if address is None or when == b"decided":
        return address
    words = {word.strip() for word in when.split(b",")}
    return ReplyAddress(
        address.partition,
        address.client,
        address.call,
        decided=b"decided" in words,
        ended=b"ended" in words,
    )


def _read_address(value: bytes, reply_partitions: int) -> ReplyAddress | None:
    try:
        partition, client, call = value.decode("ascii").split("/")
        numbers = int(partition), int(call)
    except ValueError:
        return None
    fits = 0 <= numbers[0] < reply_partitions and 0 <= numbers[1] < 1 << 63
    if not fits or not 0 < len(client) <= CLIENT_BYTES_MAX:
        return None
    return ReplyAddress(numbers[0], client, numbers[1])


def reply_headers(
    headers: Sequence[tuple[str, bytes]],
) -> tuple[tuple[str, bytes], ...]:
    """Those of a record's headers that say where a reply goes."""
    return tuple(pair for pair in headers if pair[0] in (REPLY_TO, REPLY_WHEN))
