"""Events from the JSON objects that `event_json` makes of them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, cast

from sayiir_es.core.json_fields import LONG_MAX, Fields
from sayiir_es.core.model.errors import DecodeError, EncodeError
from sayiir_es.core.model.events import Event
from sayiir_es.wire.events import COMMON_FIELDS, KINDS, SCHEMAS
from sayiir_es.wire.payload import encode_payload

if TYPE_CHECKING:
    from collections.abc import Callable


def event_from_json(data: object, where: str) -> Event:
    """The event that `event_to_json` showed so; what else the object has is passed.

    Payloads that were JSON are the same values again, in bytes of our own spelling.

    Raises:
        DecodeError: if it is no event of a kind that this build knows; says where.
    """
    event_fields = Fields(data, where)
    kind = event_fields.text("kind")
    schema = SCHEMAS.get(kind)
    if schema is None:
        raise DecodeError(f"expected an event of a known kind at {where}, but {kind!r}")
    values: dict[str, Any] = {}
    for field in schema.fields:
        if field.name not in event_fields.data:
            if field.name not in schema.defaults:
                raise event_fields.wrong(field.name, _SHAPES[field.shape][0], None)
            values[field.name] = schema.defaults[field.name]
            continue
        values[field.name] = _from_plain(event_fields, field.name, field.shape)
    common = {name: values.pop(name) for name in COMMON_FIELDS}
    return Event(**common, body=KINDS[kind](**values))


def _from_plain(event_fields: Fields, name: str, shape: str) -> object:
    value = event_fields.data[name]
    if shape.endswith("?"):
        if value is None:
            return None
        shape = shape[:-1]
    expected, read = _SHAPES[shape]
    try:
        return read(value)
    except (TypeError, ValueError, EncodeError) as error:
        raise event_fields.wrong(name, expected, value) from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # a lone surrogate cannot have been in an event
    return value


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    if abs(value) > LONG_MAX:
        raise ValueError
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(_text(item) for item in cast("list[object]", value))


def _named_texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError
    items = cast("dict[object, object]", value).items()
    return {_text(name): _text(item) for name, item in items}


def _payload_bytes(value: object) -> bytes:
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value)
        if set(pairs) == _BYTES:
            return base64.b64decode(_text(pairs["base64"]), validate=True)
        return encode_payload(pairs)
    return encode_payload(value)


_BYTES = {"base64"}

_SHAPES: dict[str, tuple[str, Callable[[object], object]]] = {
    "string": ("a string", _text),
    "long": ("a whole number", _whole),
    "int": ("a whole number", _whole),
    "boolean": ("true or false", _truth),
    "bytes": ("a JSON value", _payload_bytes),
    "{string}": ("an object of strings", _named_texts),
    "[string]": ("a list of strings", _texts),
}
