"""W3C trace context in the headers of records: read from anybody, so read strictly.

What is no `traceparent` counts as none: a trace is for looking at, and nobody's command
is refused because of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.model.commands import Command

TRACEPARENT_HEADER = "traceparent"
"""Of a command: the context it was sent in. Of an event: that of its decision, or else
of the run."""

TRACEPARENT_BYTES = 55
"""Of version 00."""

_READ_BYTES_MAX = 512
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"
)


def parse_traceparent(text: str | None) -> tuple[int, int, int] | None:
    """The trace id, span id and flags of a `traceparent`; None if it is none.

    A later version may say more behind these; as the standard has it, that is left out.
    """
    match = _match(text)
    if match is None:
        return None
    return int(match[1], 16), int(match[2], 16), int(match[3], 16)


def trace_id_of(traceparent: str | None) -> str | None:
    """The trace id in 32 hex digits, or None."""
    match = _match(traceparent)
    return None if match is None else match[1]


def write_traceparent(trace_id: int, span_id: int, flags: int) -> str:
    """The `traceparent` of a span."""
    return f"00-{trace_id:032x}-{span_id:016x}-{flags & 0xFF:02x}"


def read_traceparent(headers: Sequence[tuple[str, bytes]]) -> str | None:
    """The trace context among the headers of a record; None where there is none.

    What comes out has always 55 characters. Of several headers the first counts.
    """
    for name, value in headers:
        if name == TRACEPARENT_HEADER:
            return _normal(value[:_READ_BYTES_MAX].decode("ascii", "replace"))
    return None


def traceparent_of(
    command: Command, headers: Sequence[tuple[str, bytes]]
) -> str | None:
    """The trace context in which a command came: of its body, else of its headers."""
    own = _normal(getattr(command, TRACEPARENT_HEADER, None))
    return own or read_traceparent(headers)


def trace_headers(traceparent: str | None) -> tuple[tuple[str, bytes], ...]:
    """The headers of a record in that context."""
    return () if traceparent is None else ((TRACEPARENT_HEADER, traceparent.encode()),)


def _match(text: str | None) -> re.Match[str] | None:
    if text is None or len(text) < TRACEPARENT_BYTES:
        return None
    match = _TRACEPARENT.match(text)
    if match is None:
        return None
    rest = text[TRACEPARENT_BYTES:]
    is_whole = not rest or (text[:2] != "00" and rest[0] == "-")
    return match if is_whole else None


def _normal(text: str | None) -> str | None:
    match = _match(text)
    return None if match is None else f"00-{match[1]}-{match[2]}-{match[3]}"
