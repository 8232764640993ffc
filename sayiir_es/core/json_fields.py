"""JSON objects whose fields are taken by type; errors say what was expected."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, TypeGuard

from sayiir_es.core.model.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Mapping

LONG_MAX = 2**63 - 1
"""The largest integer that events and stores can carry."""


class Fields:
    """A JSON object whose fields are taken by type; errors say where."""

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, dict):
            raise DecodeError(f"expected an object at {where}, but {_type_of(data)}")
        self.data: Mapping[object, object] = data
        self.where = where

    def text(self, name: str) -> str:
        """A string that UTF-8 can carry; JSON's escapes can spell others."""
        text = self.data.get(name)
        if isinstance(text, str) and _is_unicode(text):
            return text
        raise self.wrong(name, "a string", text)

    def text_or_none(self, name: str) -> str | None:
        """A string or null."""
        return None if self.data.get(name) is None else self.text(name)

    def integer(self, name: str, most: int = LONG_MAX) -> int:
        """A whole number, not negative, and at most `most`."""
        number = self.data.get(name)
        if isinstance(number, int) and not isinstance(number, bool) and number >= 0:
            if number <= most:
                return number
            raise DecodeError(
                f"expected at most {most} at {self.where}.{name}, but a number of "
                f"{number.bit_length()} bits"
            )
        raise self.wrong(name, "a whole number", number)

    def integer_or_none(self, name: str, most: int = LONG_MAX) -> int | None:
        """A whole number or null."""
        return None if self.data.get(name) is None else self.integer(name, most)

    def number(self, name: str) -> float:
        """A finite number, not negative."""
        value = self.data.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            with suppress(OverflowError):  # an int beyond all floats
                number = float(value)
                if math.isfinite(number) and number >= 0:
                    return number
        raise self.wrong(name, "a finite number from 0", value)

    def items(self, name: str) -> list[object]:
        """A list."""
        items = self.data.get(name)
        if is_list(items):
            return items
        raise self.wrong(name, "a list", items)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        texts = self.items(name)
        if all(isinstance(item, str) and _is_unicode(item) for item in texts):
            return tuple(str(item) for item in texts)
        raise self.wrong(name, "a list of strings", texts)

    def wrong(self, name: str, expected: str, value: object) -> DecodeError:
        """The error of a field that is not what it should be."""
        return DecodeError(
            f"expected {expected} at {self.where}.{name}, but {_type_of(value)}"
        )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_list(value: object) -> TypeGuard[list[object]]:
    """Whether it is a list, of whatever."""
    return isinstance(value, list)


def _type_of(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
