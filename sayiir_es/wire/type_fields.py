"""The named fields of a class that is made of such: what JSON calls them, their hints.

Dataclasses, typed dicts, named tuples, classes of attrs, structures of msgspec.
"""

from __future__ import annotations

import sys
import typing
from dataclasses import MISSING, fields
from typing import Any, NamedTuple

from sayiir_es.core.authoring.hints import field_hints
from sayiir_es.wire.plain_values import is_plain_struct


class TypeField(NamedTuple):
    """A field of a structure: what JSON calls it, and its hint."""

    name: str
    hint: Any
    parameter: str
    is_required: bool


def fields_of(cls: Any) -> tuple[TypeField, ...] | None:
    """The fields that a structure is made of; None if it is none that we read."""
    if typing.is_typeddict(cls):
        required: frozenset[str] = cls.__required_keys__
        hints = field_hints(cls)
        return tuple(_key_of(name, hints[name], name in required) for name in hints)
    if hasattr(cls, "__dataclass_fields__"):
        hints = field_hints(cls)
        return tuple(
            TypeField(
                field.name,
                hints.get(field.name, Any),
                field.name,
                field.default is MISSING and field.default_factory is MISSING,
            )
            for field in fields(cls)
            if field.init
        )
    if hasattr(cls, "__attrs_attrs__"):
        attrs: Any = sys.modules["attr"]
        hints = field_hints(cls)
        return tuple(
            TypeField(
                one.name,
                hints.get(one.name, Any),
                one.alias,
                one.default is attrs.NOTHING,
            )
            for one in cls.__attrs_attrs__
            if one.init
        )
    return _other_fields(cls)


def _other_fields(cls: Any) -> tuple[TypeField, ...] | None:
    if hasattr(cls, "__struct_config__") and is_plain_struct(cls):
        import msgspec  # noqa: PLC0415 (loaded: the class is of it)

        hints = field_hints(cls)
        return tuple(
            TypeField(one.name, hints.get(one.name, Any), one.name, one.required)
            for one in msgspec.structs.fields(cls)
        )
    if hasattr(cls, "_fields") and hasattr(cls, "_field_defaults"):
        hints = field_hints(cls)
        return tuple(
            TypeField(name, hints.get(name, Any), name, name not in cls._field_defaults)
            for name in cls._fields
        )
    return None


def _key_of(name: str, hint: Any, required: bool) -> TypeField:  # noqa: FBT001 (of one use)
    """The key of a typed dict; `Required` and the like are taken off its hint.

    They win over what the class says of itself, which has not read annotations that
    are text.
    """
    while True:
        match getattr(typing.get_origin(hint), "_name", None):
            case "Required":
                required = True
            case "NotRequired":
                required = False
            case "ReadOnly":
                pass
            case _:
                return TypeField(name, hint, name, required)
        hint = typing.get_args(hint)[0]
