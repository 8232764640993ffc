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
            raise DecodeError(f"expected an object at {where}, but {_sort(data)}")
        self.data: Mapping[object, object] = data
        self.where = where

    def text(self, name: str) -> str:
        """A string that UTF-8 can carry; JSON's escapes can spell others."""
        found = self.data.get(name)
        if isinstance(found, str) and _is_unicode(found):
            return found
        raise self.wrong(name, "a string", found)

    def text_or_none(self, name: str) -> str | None:
        """A string or null."""
        return None if self.data.get(name) is None else self.text(name)

    def integer(self, name: str, most: int = LONG_MAX) -> int:
        """A whole number, not negative, and at most `most`."""
        found = self.data.get(name)
        if isinstance(found, int) and not isinstance(found, bool) and found >= 0:
            if found <= most:
                return found
            raise DecodeError(
                f"expected at most {most} at {self.where}.{name}, but a number of "
                f"{found.bit_length()} bits"
            )
        raise self.wrong(name, "a whole number", found)

    def integer_or_none(self, name: str, most: int = LONG_MAX) -> int | None:
        """A whole number or null."""
        return None if self.data.get(name) is None else self.integer(name, most)

    def number(self, name: str) -> float:
        """A finite number, not negative."""
        found = self.data.get(name)
        if isinstance(found, int | float) and not isinstance(found, bool):
            with suppress(OverflowError):  # an int beyond all floats
                number = float(found)
                if math.isfinite(number) and number >= 0:
                    return number
        raise self.wrong(name, "a finite number from 0", found)

    def items(self, name: str) -> list[object]:
        """A list."""
        found = self.data.get(name)
        if is_list(found):
            return found
        raise self.wrong(name, "a list", found)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        found = self.items(name)
        if all(isinstance(item, str) and _is_unicode(item) for item in found):
            return tuple(str(item) for item in found)
        raise self.wrong(name, "a list of strings", found)

    def wrong(self, name: str, expected: str, found: object) -> DecodeError:
        """The error of a field that is not what it should be."""
        return DecodeError(
            f"expected {expected} at {self.where}.{name}, but {_sort(found)}"
        )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_list(found: object) -> TypeGuard[list[object]]:
    """Whether it is a list; of what, nobody knows yet."""
    return isinstance(found, list)


def _sort(found: object) -> str:
    return "nothing" if found is None else f"a {type(found).__name__}"
