"""JSON objects whose fields are taken by type; errors say what was expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from sayiir_es.core.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Fields:
    """A JSON object whose fields are taken by type; errors say where."""

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, dict):
            raise DecodeError(f"expected an object at {where}, but {_sort(data)}")
        self.data: Mapping[object, object] = data
        self.where = where

    def text(self, name: str) -> str:
        """A string."""
        found = self.data.get(name)
        if isinstance(found, str):
            return found
        raise self.wrong(name, "a string", found)

    def text_or_none(self, name: str) -> str | None:
        """A string or null."""
        return None if self.data.get(name) is None else self.text(name)

    def integer(self, name: str) -> int:
        """A whole number, not negative."""
        found = self.data.get(name)
        if isinstance(found, int) and not isinstance(found, bool) and found >= 0:
            return found
        raise self.wrong(name, "a whole number", found)

    def integer_or_none(self, name: str) -> int | None:
        """A whole number or null."""
        return None if self.data.get(name) is None else self.integer(name)

    def number(self, name: str) -> float:
        """A number."""
        found = self.data.get(name)
        if isinstance(found, int | float) and not isinstance(found, bool):
            return float(found)
        raise self.wrong(name, "a number", found)

    def items(self, name: str) -> list[object]:
        """A list."""
        found = self.data.get(name)
        if is_list(found):
            return found
        raise self.wrong(name, "a list", found)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        found = self.items(name)
        if all(isinstance(item, str) for item in found):
            return tuple(str(item) for item in found)
        raise self.wrong(name, "a list of strings", found)

    def wrong(self, name: str, expected: str, found: object) -> DecodeError:
        """The error of a field that is not what it should be."""
        return DecodeError(
            f"expected {expected} at {self.where}.{name}, but {_sort(found)}"
        )


def is_list(found: object) -> TypeGuard[list[object]]:
    """Whether it is a list; of what, nobody knows yet."""
    return isinstance(found, list)


def _sort(found: object) -> str:
    return "nothing" if found is None else f"a {type(found).__name__}"
