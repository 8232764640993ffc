"""Values as text for a terminal: JSON, times, and what a user or the log wrote.

Everything that came from a user or from the log is made *visible* before it is printed:
a control character in an id, an error or a payload must not move the reader's cursor,
change the terminal's state or forge a line.
"""

from __future__ import annotations

import json

from sayiir_es.core.instants import instant
from sayiir_es.core.model.errors import DecodeError
from sayiir_es.telemetry import escaped
from sayiir_es.wire.payload import decode_payload

visible = escaped


def to_json(value: object, *, indent: int | None = None) -> str:
    """JSON that a terminal can show: letters as they are, the rest escaped."""
    separators = None if indent else (",", ":")
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)
    return "\n".join(map(_printable, text.split("\n")))


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def payload_value(data: bytes) -> object:
    """The value of payload bytes; bytes that are no JSON as escaped text."""
    try:
        return decode_payload(data)
    except DecodeError:
        return {"text": data.decode("utf-8", "backslashreplace")}


def readable(data: bytes) -> str:
    """Bytes as text; what is no UTF-8 is escaped."""
    return data.decode("utf-8", "backslashreplace")


def format_time(at_ms: int) -> str:
    """A time for people: UTC, to the millisecond."""
    return instant(at_ms).replace("T", " ") if at_ms else ""


def is_time(name: str) -> bool:
    """Whether a field of that name holds epoch milliseconds."""
    return name == "at" or name.endswith("_at")
