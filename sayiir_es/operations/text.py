"""Values as text for a terminal: JSON, times, and what a user or the log wrote.

Everything that came from a user or from the log is made *visible* before it is printed:
a control character in an id, an error or a payload must not move the reader's cursor,
change the terminal's state or forge a line.
"""

from __future__ import annotations

import json
import secrets
from typing import cast

from sayiir_es.core.instants import instant
from sayiir_es.core.model.errors import DecodeError
from sayiir_es.telemetry import escaped
from sayiir_es.wire.payload import KeptNumber, decode_payload

visible = escaped

_MARK = f"number-{secrets.token_hex(8)}-"
"""What nobody who writes a payload can know."""


def to_json(value: object, *, indent: int | None = None) -> str:
    """JSON that a terminal can show: letters as they are, the rest escaped.

    A number of a payload that no float holds is shown as it was written.
    """
    separators = None if indent else (",", ":")
    numbers: list[str] = []
    plain = _with_numbers_marked(value, numbers)
    text = json.dumps(plain, ensure_ascii=False, indent=indent, separators=separators)
    for index, number in enumerate(numbers):
        text = text.replace(json.dumps(_mark_of(index)), number, 1)
    return "\n".join(map(_printable, text.split("\n")))


def _with_numbers_marked(value: object, numbers: list[str]) -> object:
    """The value with a mark in place of each such number, whose texts are added."""
    if isinstance(value, KeptNumber):
        numbers.append(value.text)
        return _mark_of(len(numbers) - 1)
    if isinstance(value, dict):
        pairs = cast("dict[object, object]", value).items()
        return {key: _with_numbers_marked(item, numbers) for key, item in pairs}
    if isinstance(value, list):
        items = cast("list[object]", value)
        return [_with_numbers_marked(item, numbers) for item in items]
    return value


def _mark_of(index: int) -> str:
    return f"{_MARK}{index}"


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def payload_value(data: bytes) -> object:
    """The value of payload bytes; bytes that are no JSON as escaped text."""
    try:
        return decode_payload(data, shown=True)
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
