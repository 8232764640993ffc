"""Frozen dataclasses that are made as fast as others, for those made with each event.

Theory of operation. A frozen dataclass sets each of its fields through
`object.__setattr__`, and that was the largest single cost of a step. Here an instance
begins as one of a twin class with the same slots that anybody may set, gets its fields
by plain assignment, and becomes one of the frozen class before anyone else has seen it.
All the rest (equality, hash, repr, `replace`, `match`) stays the dataclass's own.
"""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from typing import TypeVar

T = TypeVar("T")


def fast_frozen(frozen: type[T]) -> type[T]:
    """Give a frozen, slotted, keyword-only dataclass a `__new__` that sets its fields.

    For final classes without default factories and without `__post_init__`.
    """
    assert is_dataclass(frozen)
    own = fields(frozen)
    names = [field.name for field in own]
    assert all(field.default_factory is MISSING for field in own), frozen
    assert not hasattr(frozen, "__post_init__"), frozen
    defaults = {
        f"default_{field.name}": field.default
        for field in own
        if field.default is not MISSING
    }
    twin = type(frozen.__name__, (), {"__slots__": tuple(names)})
    parameters = [
        f"{name}=default_{name}" if f"default_{name}" in defaults else name
        for name in names
    ]
    lines = [
        f"def __new__(cls, *, {', '.join(parameters)}):",
        "    self = new(twin)",
        *(f"    self.{name} = {name}" for name in names),
        "    self.__class__ = cls",
        "    return self",
    ]
    namespace: dict[str, object] = {"new": object.__new__, "twin": twin, **defaults}
    # As `dataclasses` does it: the text holds names of fields, nothing from outside.
    exec("\n".join(lines), namespace)  # noqa: S102
    methods = {
        "__new__": namespace["__new__"],
        "__copy__": _same,
        "__deepcopy__": _same,
    }
    for name, method in methods.items():
        setattr(frozen, name, method)
    del frozen.__init__
    return frozen


def _same(self: object, _memo: object = None) -> object:
    """A copy of what never changes."""
    return self
