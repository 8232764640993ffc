"""Frozen dataclasses that are made as fast as others, for those made with each event.

Theory of operation. A frozen dataclass sets each of its fields through
`object.__setattr__`, and that was the largest single cost of a step. Here an instance
begins as one of a subclass whose slots anybody may set, gets its fields by plain
assignment, and becomes one of the frozen class before anyone else has seen it.
All the rest (equality, hash, repr, `replace`, `match`) stays the dataclass's own.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

P = ParamSpec("P")
T = TypeVar("T")

_MAKERS: dict[Any, Callable[..., Any]] = {}
"""By the class."""


def fast_frozen(frozen: type[T]) -> type[T]:
    """Give a frozen, slotted, keyword-only dataclass a `__new__` that sets its fields.

    For final classes without `__post_init__`.
    """
    assert is_dataclass(frozen)
    own = fields(frozen)
    names = [field.name for field in own]
    assert not hasattr(frozen, "__post_init__"), frozen
    # A subclass without slots of its own: of two classes that each have the slots,
    # Python would compare these whenever a value goes from one to the other.
    settable = {
        "__slots__": (),
        "__setattr__": object.__setattr__,
        "__delattr__": object.__delattr__,
    }
    twin = type(frozen.__name__, (frozen,), settable)
    namespace: dict[str, Any] = {"new": object.__new__, "twin": twin, "cls": frozen}
    parameters, made = _parameters(own, namespace)
    body = [
        *made,
        "    self = new(twin)",
        *(f"    self.{name} = {name}" for name in names),
        "    self.__class__ = cls",
        "    return self",
    ]
    lines = [f"def __new__(cls, *, {parameters}):", *body]
    lines += [f"def make(*, {parameters}):", *body]
    # As `dataclasses` does it: the text holds names of fields, nothing from outside.
    exec("\n".join(lines), namespace)  # noqa: S102
    _MAKERS[frozen] = namespace["make"]
    methods = {
        "__new__": namespace["__new__"],
        "__copy__": _same,
        "__deepcopy__": _same,
    }
    for name, method in methods.items():
        setattr(frozen, name, method)
    del frozen.__init__
    return frozen


def with_maker(mutable: type[T]) -> type[T]:
    """Let `maker` know a slotted, keyword-only dataclass that is not frozen.

    The class itself stays as it is.
    """
    assert is_dataclass(mutable)
    own = [field for field in fields(mutable) if field.init]
    namespace: dict[str, Any] = {"new": object.__new__, "cls": mutable}
    namespace["twin"] = object()
    parameters, made = _parameters(own, namespace)
    lines = [
        f"def make(*, {parameters}):",
        *made,
        "    self = new(cls)",
        *(f"    self.{field.name} = {field.name}" for field in own),
        *(["    self.__post_init__()"] if hasattr(mutable, "__post_init__") else []),
        "    return self",
    ]
    exec("\n".join(lines), namespace)  # noqa: S102 (as above)
    _MAKERS[mutable] = namespace["make"]
    return mutable


def _parameters(
    own: Iterable[Field[Any]], namespace: dict[str, Any]
) -> tuple[str, list[str]]:
    """The text of the parameters for these fields, and lines that make defaults.

    The defaults themselves are put into `namespace`, whose `twin` nobody else has.
    """
    parameters: list[str] = []
    made: list[str] = []
    for field in own:
        name = field.name
        if field.default_factory is not MISSING:
            namespace[f"make_{name}"] = field.default_factory
            parameters.append(f"{name}=twin")
            made.append(f"    if {name} is twin: {name} = make_{name}()")
        elif field.default is not MISSING:
            namespace[f"default_{name}"] = field.default
            parameters.append(f"{name}=default_{name}")
        else:
            parameters.append(name)
    return ", ".join(parameters), made


def maker(made: Callable[P, T]) -> Callable[P, T]:
    """The function that makes values of such a class; same parameters.

    To call a class costs as much as all that its `__new__` does here, and that of a
    plain dataclass with many keywords three times as much: so the few places that make
    several values with each event, or with each attempt, call this instead.
    """
    make: Callable[P, T] = _MAKERS[made]
    return make


def _same(self: object, _memo: object = None) -> object:
    """A copy of what never changes."""
    return self
