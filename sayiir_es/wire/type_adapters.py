"""The way back: JSON as the type that an annotation names, by Pydantic.

Theory of operation. Pydantic reads JSON for models, dates, numbers, sets and the like.
A hint is rewritten first where Pydantic lacks a type, or reads another form than
`plain_values` writes: bytes (base64), structures of attrs and msgspec, registered types
and members of enums whose value JSON lacks; and, to find these inside, dataclasses,
typed dicts and named tuples. A structure that holds itself is read by an adapter of its
own from the inside.

JSON is read in Pydantic's JSON mode, so that strict models take a text for a date; by
names and by aliases. Adapters are made at the first value, once for each hint: Pydantic
is imported only where an annotation asks for it.
"""

from __future__ import annotations

import base64
import collections.abc
import json
import re
import threading
import types
import typing
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union

from sayiir_es.core.authoring.hints import is_plain
from sayiir_es.wire.payload import decode_payload, encode_payload
from sayiir_es.wire.plain_values import (
    SCALARS,
    is_plain_struct,
    text_keys,
    to_plain,
)
from sayiir_es.wire.pydantic_bytes import has_bytes, with_exact_bytes
from sayiir_es.wire.registered_types import on_change, registered_type
from sayiir_es.wire.type_fields import fields_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import GetCoreSchemaHandler, TypeAdapter
    from pydantic_core import CoreSchema

ADAPTERS_MAX = 4_096
"""How many hints' adapters are kept; beyond it all are made anew."""

_AS_THEY_ARE: tuple[Any, ...] = (
    typing.Literal,
    getattr(collections.abc, "Callable", None),
)
_LIST: Any = list
_ITERABLES = (
    collections.abc.Iterable,
    collections.abc.Collection,
    collections.abc.Container,
    collections.abc.Reversible,
    collections.abc.MutableSequence,
)
_FRACTION = re.compile(rb"(?:^|[:\[,])\s*-?\d+[.eE]")
"""Where a number may begin that is no integer."""

_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?', re.DOTALL)


class Adapter:
    """Reads JSON as one type."""

    __slots__ = ("_error", "_has_decimals", "_validator")

    def __init__(self, adapter: TypeAdapter[Any]) -> None:
        from pydantic_core import SchemaValidator, ValidationError  # noqa: PLC0415 (loaded already)

        schema: Any = adapter.core_schema
        self._validator: Any = adapter.validator
        if has_bytes(schema):
            self._validator = SchemaValidator(
                with_exact_bytes(schema), _use_prebuilt=False
            )
        self._error = ValidationError
        self._has_decimals = "'type': 'decimal'" in repr(schema)

    def read(self, data: bytes) -> object:
        """The value of JSON in UTF-8.

        Raises:
            DecodeError: if it is no JSON, or nested too deeply.
            pydantic.ValidationError: if it does not fit the type.
        """
        if self._has_decimals and _FRACTION.search(data) is not None:
            exact = _with_exact_numbers(data)
            if exact is not data:
                with suppress(self._error):  # a strict float beside the decimal
                    return self._validator.validate_json(
                        exact, by_alias=True, by_name=True
                    )
        try:
            return self._validator.validate_json(data, by_alias=True, by_name=True)
        except self._error as error:
            if error.errors(include_url=False)[0]["type"] != "json_invalid":
                raise
            # It says in our words what is wrong; what we can read and Pydantic cannot
            # is what is nested deeper.
            value = decode_payload(data)
            return self._validator.validate_python(value, by_alias=True, by_name=True)


def _with_exact_numbers(data: bytes) -> bytes:
    """The JSON with each number that a float would change as text, for a Decimal."""

    def exact(match: re.Match[bytes]) -> bytes:
        token = match[0]
        if token[:1] == b'"' or not (b"." in token or b"e" in token or b"E" in token):
            return token
        text = token.decode()
        return (
            token
            if Decimal(text) == Decimal(repr(float(text)))
            else f'"{text}"'.encode()
        )

    made = _NUMBER.sub(exact, data)
    return data if made == data else made


_ADAPTERS: dict[Any, Adapter | None] = {}


def adapter_of(hint: Any) -> Adapter | None:
    """What reads JSON as that hint says; None if it stays as JSON has it.

    Also for a hint that Pydantic can make nothing of, such as a class of which nothing
    says how it is read.
    """
    try:
        return _ADAPTERS[hint]
    except KeyError:
        pass
    except TypeError:  # unhashable: metadata of an Annotated may be
        return _new_adapter(hint)
    if len(_ADAPTERS) >= ADAPTERS_MAX:
        _ADAPTERS.clear()
    adapter = _ADAPTERS[hint] = _new_adapter(hint)
    return adapter


def _new_adapter(hint: Any) -> Adapter | None:
    if is_plain(hint):
        return None
    from pydantic import PydanticSchemaGenerationError, TypeAdapter  # noqa: PLC0415 (slow to import)

    try:
        return Adapter(TypeAdapter(_rewritten(hint, {})))
    except PydanticSchemaGenerationError:
        return None


def forget_adapters() -> None:
    """Make every adapter anew: a type was registered."""
    _ADAPTERS.clear()


on_change(forget_adapters)


# --- rewriting ------------------------------------------------------------------------


def _rewritten(hint: Any, bound: Mapping[Any, Any]) -> Any:
    """The hint with types that Pydantic knows; `bound` has what type variables are."""
    if isinstance(hint, TypeVar):
        return _rewritten(bound[hint], {}) if hint in bound else Any
    own = _own_schema(hint, {}) if isinstance(hint, type) else None
    if own is not None:
        return Annotated[Any, own]
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is None or origin in _AS_THEY_ARE:
        return list[Any] if hint in _ITERABLES else hint
    if origin is Annotated:
        return Annotated[(_rewritten(parts[0], bound), *parts[1:])]
    made = tuple(part if part is ... else _rewritten(part, bound) for part in parts)
    if origin in (Union, types.UnionType):
        return Union[made]  # noqa: UP007 (of so many)
    return _rewritten_generic(hint, origin, parts, made) if made else hint


def _rewritten_generic(
    hint: Any, origin: Any, parts: tuple[Any, ...], made: tuple[Any, ...]
) -> Any:
    """`origin[parts]`, whose parts were rewritten."""
    if isinstance(origin, type):
        names = getattr(origin, "__parameters__", ())
        own = _own_schema(origin, dict(zip(names, parts, strict=False)))
        if own is not None:
            return Annotated[Any, own]
        if _is_mapping(origin):
            made = (_rewritten_key(parts[0], made[0]), *made[1:])
    if origin in _ITERABLES:
        return _LIST[made]
    generic: Any = hint if made == parts else _generic(origin, made)
    return generic


def _generic(origin: Any, parts: Any) -> Any:
    return origin[parts]


def _is_mapping(cls: Any) -> bool:
    return issubclass(cls, Mapping)


def _rewritten_key(key: Any, made: Any) -> Any:
    """A member of an enum is found by what its value is as text, as all keys are."""
    if not (isinstance(key, type) and issubclass(key, Enum)):
        return made
    members = {next(iter(text_keys({member: None}))): member for member in key}
    return Annotated[Any, _Converted(_member_finder(key, members))]


def _own_schema(cls: Any, bound: Mapping[Any, Any]) -> _OwnSchema | None:
    """How a class is read that Pydantic does not read in our form; None: it does."""
    registered = registered_type(cls)
    if registered is not None:
        return _Converted(registered.from_json)
    if hasattr(cls, "__get_pydantic_core_schema__") or hasattr(
        cls, "__pydantic_config__"
    ):
        return None
    if cls in (bytes, bytearray):
        return _Bytes(cls)
    if issubclass(cls, Enum):
        return None if _has_plain_members(cls) else _Converted(_member_reader(cls))
    if hasattr(cls, "__struct_config__") and not is_plain_struct(cls):
        return _Converted(_struct_reader(cls))
    is_dataclass = "__dataclass_fields__" in vars(cls)
    if fields_of(cls) is None or (
        is_dataclass and not bound and _is_native(cls, set())
    ):
        return None
    return _Structure(cls, bound)


def _is_native(hint: Any, seen: set[Any]) -> bool:
    """Whether Pydantic reads a dataclass, with all that is in it, as we write it."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is not None:
        is_known = origin not in _ITERABLES and not hasattr(origin, "__parameters__")
        return is_known and all(_is_native(part, seen) for part in parts)
    if not isinstance(hint, type) or hint in seen:
        return not isinstance(hint, TypeVar)
    seen.add(hint)
    if "__dataclass_fields__" not in vars(hint):
        return _own_schema(hint, {}) is None and hint not in _ITERABLES
    try:
        hints = typing.get_type_hints(hint, include_extras=True)
    except NameError:
        return False  # a name that is there for type checkers only
    return not getattr(hint, "__parameters__", ()) and all(
        _is_native(part, seen) for part in hints.values()
    )


class _OwnSchema:
    """Metadata that gives Pydantic the schema of a type."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        raise NotImplementedError


@dataclass(frozen=True, slots=True, eq=False)
class _Converted(_OwnSchema):
    """A value that a function makes of what JSON has."""

    convert: Callable[[Any], object]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        from pydantic_core import core_schema  # noqa: PLC0415 (loaded already)

        return core_schema.no_info_plain_validator_function(self.convert)


@dataclass(frozen=True, slots=True, eq=False)
class _Bytes(_OwnSchema):
    """Bytes, of base64."""

    cls: Any

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        from pydantic_core import core_schema  # noqa: PLC0415 (loaded already)

        def decoded(value: object) -> bytes:
            if not isinstance(value, str):
                raise ValueError(f"expected base64, but a {type(value).__name__}")  # noqa: TRY004 (Pydantic lets a TypeError through)
            return base64.b64decode(value, validate=True)

        schema = core_schema.no_info_before_validator_function(
            decoded, core_schema.bytes_schema()
        )
        if self.cls is bytes:
            return schema
        return core_schema.no_info_after_validator_function(bytearray, schema)


class _Progress(threading.local):
    """The structures whose schemas this thread makes, from the outside in."""

    def __init__(self) -> None:
        self.classes: list[Any] = []


_PROGRESS = _Progress()


@dataclass(frozen=True, slots=True, eq=False)
class _Structure(_OwnSchema):
    """A class that is made of named fields."""

    cls: Any
    bound: Mapping[Any, Any]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        from pydantic_core import core_schema  # noqa: PLC0415 (loaded already)

        cls = self.cls
        if cls in _PROGRESS.classes:
            return core_schema.no_info_plain_validator_function(_inner_reader(cls))
        _PROGRESS.classes.append(cls)
        try:
            schemas = {
                field: handler.generate_schema(_rewritten(field.hint, self.bound))
                for field in fields_of(cls) or ()
            }
        finally:
            _PROGRESS.classes.pop()
        if typing.is_typeddict(cls):
            return core_schema.typed_dict_schema(
                {
                    field.name: core_schema.typed_dict_field(
                        schema, required=field.is_required
                    )
                    for field, schema in schemas.items()
                }
            )
        is_tuple = issubclass(cls, tuple)
        arguments = core_schema.arguments_schema(
            [
                core_schema.arguments_parameter(
                    field.parameter,
                    schema
                    if field.is_required
                    else core_schema.with_default_schema(schema, default=_LEFT_OUT),
                    mode="positional_or_keyword" if is_tuple else "keyword_only",
                    alias=field.name,
                )
                for field, schema in schemas.items()
            ],
            validate_by_name=True,
            validate_by_alias=True,
            # What the class does not know is left out, as by a model.
            var_kwargs_schema=None if is_tuple else core_schema.any_schema(),
        )
        return core_schema.call_schema(arguments, _maker(cls))


_LEFT_OUT: Any = object()
"""Stands for a field that JSON lacks: the class has its own default."""


def _maker(cls: Any) -> Callable[..., object]:
    known = frozenset(field.parameter for field in fields_of(cls) or ())

    def make(*given: object, **named: object) -> object:
        return cls(
            *(item for item in given if item is not _LEFT_OUT),
            **{
                name: item
                for name, item in named.items()
                if item is not _LEFT_OUT and name in known
            },
        )

    return make


def _inner_reader(cls: Any) -> Callable[[Any], object]:
    """Reads a structure inside of itself, by the adapter that is made for it."""

    def read(value: Any) -> object:
        adapter = adapter_of(cls)
        return value if adapter is None else adapter.read(encode_payload(value))

    return read


def _has_plain_members(cls: type[Enum]) -> bool:
    return all(type(member.value) in SCALARS for member in cls)


def _member_reader(cls: type[Enum]) -> Callable[[Any], object]:
    """Reads a member by the JSON of its value."""
    members = {json.dumps(to_plain(member.value)): member for member in cls}
    find = _member_finder(cls, members)
    return lambda value: find(json.dumps(value))


def _member_finder(
    cls: type[Enum], members: Mapping[str, Enum]
) -> Callable[[Any], object]:
    def find(text: Any) -> object:
        member = members.get(text)
        if member is None:
            raise ValueError(f"expected the value of a {cls.__name__}, but {text}")
        return member

    return find


def _struct_reader(cls: Any) -> Callable[[Any], object]:
    """Reads a msgspec structure with names or a tag of its own, by msgspec."""

    def dec_hook(hint: type, value: Any) -> object:
        adapter = adapter_of(hint)
        return value if adapter is None else adapter.read(encode_payload(value))

    def read(value: Any) -> object:
        import msgspec  # noqa: PLC0415 (loaded: the class is of it)

        return msgspec.convert(value, cls, str_keys=True, dec_hook=dec_hook)

    return read
