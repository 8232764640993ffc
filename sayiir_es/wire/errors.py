"""The error for bytes that do not follow the contract, and excerpts for its message.

Input may be hostile and of any size, so a message never repeats more than
`EXCERPT_CHARACTERS_MAX` of it.
"""

from __future__ import annotations

from sayiir_es.core.model.errors import DecodeError

EXCERPT_CHARACTERS_MAX = 200
"""Most characters of input in one message: a record may be a megabyte, a line not."""


class UnreadableError(DecodeError):
    """Bytes that do not decode; `reason` is short and stable, and holds no input.

    Operator action: look at the producer of the record that the message names.
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def excerpt_of(value: object) -> str:
    """Return input for a message: printable, at most `EXCERPT_CHARACTERS_MAX` long."""
    match value:
        case str():
            text = ascii(value[:EXCERPT_CHARACTERS_MAX])
        case bytes():
            text = value[: EXCERPT_CHARACTERS_MAX // 2].hex()
        case dict():
            text = "an object"
        case list():
            text = "an array"
        case None:
            text = "null"
        case bool():
            text = "true" if value else "false"
        case int() if value.bit_length() > EXCERPT_CHARACTERS_MAX:
            text = f"an integer of {value.bit_length()} bits"  # repr may refuse it
        case int() | float():
            text = repr(value)
        case _:
            text = f"a {type(value).__name__}"
    if len(text) <= EXCERPT_CHARACTERS_MAX:
        return text
    return text[: EXCERPT_CHARACTERS_MAX - 1] + "…"
