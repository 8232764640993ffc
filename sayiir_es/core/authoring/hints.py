"""What a function's annotations say of its parameters, each read by itself.

Theory of operation. An annotation is looked at where it says more than JSON does: a
`date`, a model, a tuple. One that says less, or the same, is `PLAIN`, and costs nothing
at run time. One that cannot be read, such as a name that is imported for type checkers
only, is `PLAIN` too, and named: the others stay what they are.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import sys
import types
import typing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar, Union

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PLAIN: Final[Any] = Any
"""The hint of a value that stays as JSON has it."""

PLAIN_TYPES = frozenset(
    (Any, object, None, type(None), str, int, float, bool, list, dict)
)
_LISTS = (
    list,
    collections.abc.Sequence,
    collections.abc.MutableSequence,
    collections.abc.Collection,
    collections.abc.Iterable,
    collections.abc.Container,
    collections.abc.Sized,
    collections.abc.Reversible,
)
_UNREADABLE = (
    NameError,
    TypeError,
    AttributeError,
    SyntaxError,
    ValueError,
    LookupError,
    ImportError,
)
"""What a user's text raises that is evaluated where its names are not."""

_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskHints:
    """What a function's parameters are annotated with.

    Attributes:
        positional: Of those that may be given by place, in order.
        named: Of those that are keyword-only, by name.
        unreadable: The names of the parameters whose annotation cannot be read.
    """

    positional: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict[str, Any])
    unreadable: tuple[str, ...] = ()

    @property
    def first(self) -> Any:
        """Of what a task is given as its input."""
        return self.positional[0] if self.positional else PLAIN


def task_hints(function: Callable[..., object]) -> TaskHints:
    """The annotations of a function, a method, a partial, or a callable object."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return TaskHints()  # of a built-in
    names = _namespaces(function)
    positional: list[Any] = []
    named: dict[str, Any] = {}
    unreadable: list[str] = []
    for one in parameters:
        hint: Any = PLAIN
        if one.annotation is not one.empty:
            try:
                hint = _evaluated(one.annotation, *names)
            except _UNREADABLE:
                unreadable.append(one.name)
        hint = PLAIN if is_plain(hint) else hint
        if one.kind is one.KEYWORD_ONLY:
            named[one.name] = hint
        elif one.kind is not one.VAR_KEYWORD:
            positional.append(hint)
    return TaskHints(
        positional=tuple(positional), named=named, unreadable=tuple(unreadable)
    )


def return_hint(function: Callable[..., object]) -> Any:
    """What a function says that it returns; None where it says nothing readable."""
    try:
        annotation = inspect.signature(function).return_annotation
        if annotation is inspect.Signature.empty:
            return None
        return _evaluated(annotation, *_namespaces(function))
    except _UNREADABLE:
        return None


def first_parameter_hint(function: Callable[..., object]) -> Any:
    """What a function's first parameter is annotated with, plain or not; or None."""
    try:
        first = next(iter(inspect.signature(function).parameters.values()), None)
        if first is None or first.annotation is first.empty:
            return None
        return _evaluated(first.annotation, *_namespaces(function))
    except _UNREADABLE:
        return None


def field_hints(cls: type) -> dict[str, Any]:
    """What the fields of a class are annotated with; what cannot be read is `PLAIN`."""
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except _UNREADABLE:
        pass
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        names = vars(sys.modules[base.__module__])
        for name, annotation in vars(base).get("__annotations__", {}).items():
            try:
                hints[name] = _evaluated(annotation, names, dict(vars(base)))
            except _UNREADABLE:
                hints[name] = PLAIN
    return hints


def is_plain(hint: Any) -> bool:
    """Whether a hint says no more of a value than JSON does.

    A number of JSON may come where `int`, `float` or `str` is said: such a hint is for
    readers and type checkers, and nothing is converted or refused.
    """
    if isinstance(hint, typing.NewType):
        return is_plain(hint.__supertype__)
    if isinstance(hint, TypeVar):
        return True
    try:
        if hint in PLAIN_TYPES:
            return True
    except TypeError:  # an unhashable hint, which is one with metadata
        return False
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if not parts:  # `typing.List` has an origin and no parts
        return (origin or hint) in _LISTS or (origin or hint) in _DICTS
    if origin is Annotated:
        return is_plain(parts[0]) and not any(map(_constrains, parts[1:]))
    if origin is Literal:
        return all(type(part) in PLAIN_TYPES for part in parts)
    if origin in (Union, types.UnionType) or origin in _LISTS:
        return all(map(is_plain, parts))
    if origin in _DICTS:
        key, value = parts
        return (key in (str, Any) or isinstance(key, TypeVar)) and is_plain(value)
    return False


def _constrains(metadata: object) -> bool:
    """Whether it is a constraint or a validator, and no remark for readers."""
    module = type(metadata).__module__.partition(".")[0]
    return module in ("pydantic", "annotated_types") or hasattr(
        metadata, "__get_pydantic_core_schema__"
    )


def _namespaces(
    function: Callable[..., object],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Where the names of a function's annotations are looked up: globals, and locals.

    A class that is made inside a function is found where the task uses it, too.
    """
    inner: Any = function
    while True:
        inner = inspect.unwrap(inner)
        if isinstance(inner, functools.partial):
            inner = inner.func
        elif inspect.ismethod(inner):
            inner = inner.__func__
        else:
            break
    if inspect.isclass(inner):
        return vars(sys.modules[inner.__module__]), {}
    if not inspect.isfunction(inner):
        inner = inspect.unwrap(type(inner).__call__)
    enclosed: dict[str, Any] = {}
    code, cells = getattr(inner, "__code__", None), getattr(inner, "__closure__", None)
    for name, cell in zip(getattr(code, "co_freevars", ()), cells or (), strict=True):
        try:
            enclosed[name] = cell.cell_contents
        except ValueError:
            continue  # not made yet
    return getattr(inner, "__globals__", {}), enclosed


def _evaluated(
    annotation: object, names: dict[str, Any], enclosed: dict[str, Any]
) -> Any:
    holder = types.SimpleNamespace(__annotations__={"hint": annotation})
    read: Any = typing.get_type_hints  # which takes any object with annotations
    return read(holder, names, enclosed, include_extras=True)["hint"]
