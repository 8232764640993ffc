"""Types that users add to those that values may be of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

T = TypeVar("T")

ToJson: TypeAlias = Callable[[Any], object]
FromJson: TypeAlias = Callable[[Any], object]

_JSON_TYPES = (str, int, float, bool, list, dict, tuple, type(None), object)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredType:
    """A class, and the two functions that its values pass."""

    cls: type
    to_json: ToJson
    from_json: FromJson


_REGISTERED: Final[dict[type, RegisteredType]] = {}
_ON_CHANGE: Final[list[Callable[[], None]]] = []


def register_type(
    cls: type[T], to_json: Callable[[T], object], from_json: Callable[[Any], T]
) -> None:
    """Let values be of a class of one's own, in this process, from now on.

    `to_json` is called with each instance of the class, or of one below it, and returns
    anything that a value may be. `from_json` is called with what JSON has of it, where
    the annotation of a parameter names the class. A second call for a class replaces
    the first. Register in a module that workers and clients import.

    Raises:
        TypeError: if it is no class, or one of JSON's own, or a function is none.
    """
    given: Any = cls  # of users without a type checker, anything
    if not isinstance(given, type) or given in _JSON_TYPES:
        raise TypeError(f"expected a class that JSON lacks, but {cls!r}")
    for name, function in (("to_json", to_json), ("from_json", from_json)):
        if not callable(function):
            raise TypeError(f"expected a function as {name}, but {function!r}")
    _REGISTERED[cls] = RegisteredType(cls=cls, to_json=to_json, from_json=from_json)
    for forget in _ON_CHANGE:
        forget()


def registered_type(cls: type) -> RegisteredType | None:
    """What was registered for a class, or for the nearest one above it."""
    if not _REGISTERED:
        return None
    for base in cls.__mro__:
        registered = _REGISTERED.get(base)
        if registered is not None:
            return registered
    return None


def on_change(forget: Callable[[], None]) -> None:
    """Call `forget` at each registration: what was made of the types is old."""
    _ON_CHANGE.append(forget)
