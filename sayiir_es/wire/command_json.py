"""Commands as JSON objects: `{"command": NAME, …}` with the fields of NAME's schema.

A secret is written in hexadecimal digits. Any other field of type bytes takes any JSON
value, and keeps its text as it is: a number that a
float would change, the order of keys, the spaces. A key that stands twice in an object
is refused, at any depth: readers differ in what they take it for. A field with a
default in Avro may be left out here; `null` means the same where the schema allows
null. Fields that the schema does not have are refused: a misspelt option must not start
a run without that option.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from sayiir_es.core.model.errors import EncodeError
from sayiir_es.wire.errors import UnreadableError, excerpt_of
from sayiir_es.wire.json_problems import is_unicode
from sayiir_es.wire.payload import (
    check_depth,
    check_value,
    decode_payload,
    encode_payload,
    read_members,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.wire.schema import RecordSchema

COMMAND_FIELD = "command"
"""Names the command in its JSON form."""

HEX_FIELDS = frozenset({"secret"})
"""Fields of bytes that are no JSON: here they are text, in hexadecimal digits."""

ENVELOPE = {"schema", "payload"}
"""What Connect's JSON converter writes around a value unless it is told not to."""

_SPACES = b" \t\r\n"

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")

_INTEGERS = {"int": 2**31, "long": 2**63}


def read_json_command(
    schemas: Mapping[str, RecordSchema], data: bytes
) -> tuple[str, dict[str, object]]:
    """Return the name and the fields of a command in JSON.

    Raises:
        UnreadableError: if it is not one of `schemas`.
    """
    decode_payload(data, once=True)  # says in words what is wrong with the whole
    check_depth(data, around=1)
    json_fields, texts = read_members(data)
    name = json_fields.pop(COMMAND_FIELD, None)
    schema = schemas.get(name) if isinstance(name, str) else None
    if schema is None and name is None and json_fields.keys() == ENVELOPE:
        raise UnreadableError(
            "expected a command, but Connect's envelope of schema and payload: set "
            "value.converter.schemas.enable=false at the connector",
            reason="connect_envelope",
        )
    if schema is None:
        raise UnreadableError(
            f"expected `command` to be one of {', '.join(schemas)}, but "
            f"{excerpt_of(name)}",
            reason="unknown_command",
        )
    values = dict(schema.defaults)
    for field in schema.fields:
        if field.name in json_fields:
            where = f"{schema.name}.{field.name}"
            value = json_fields.pop(field.name)
            text = texts[field.name]
            is_hex = field.name in HEX_FIELDS and field.shape.startswith("bytes")
            read = _read_hex if is_hex else _read
            values[field.name] = read(field.shape, value, text, where)
        elif field.name not in values:
            raise UnreadableError(
                f"expected the field {schema.name}.{field.name}, but it is missing",
                reason="missing_field",
            )
    if json_fields:
        names = ", ".join(field.name for field in schema.fields)
        raise UnreadableError(
            f"expected only the fields {names} in {schema.name}, but "
            f"{excerpt_of(next(iter(json_fields)))}",
            reason="unknown_field",
        )
    return schema.name, values


def _read(shape: str, value: object, text: bytes, where: str) -> object:
    if shape in {"bytes", "bytes?"}:
        try:
            check_value(value)
        except UnreadableError as error:
            raise UnreadableError(
                f"{error} of {where}", reason="bad_payload"
            ) from error
        return text
    if value is None and shape.endswith("?"):
        return None
    if not _fits(shape.removesuffix("?"), value):
        raise UnreadableError(
            f"expected {where} ({shape}), but {excerpt_of(value)}", reason="wrong_type"
        )
    return tuple(cast("list[str]", value)) if shape == "[string]" else value


def _read_hex(_shape: str, value: object, _text: bytes, where: str) -> object:
    if value is None:
        return None
    if not isinstance(value, str) or _HEX.fullmatch(value) is None:
        raise UnreadableError(
            f"expected {where} in hexadecimal digits, two for a byte, but "
            f"{excerpt_of(value)}",
            reason="wrong_type",
        )
    return bytes.fromhex(value)


def _fits(shape: str, value: object) -> bool:
    match shape:
        case "string":
            return isinstance(value, str) and is_unicode(value)
        case "boolean":
            return isinstance(value, bool)
        case "[string]":
            if not isinstance(value, list):
                return False
            return all(_fits("string", text) for text in cast("list[object]", value))
        case "{string}":
            if not isinstance(value, dict):
                return False
            pairs = cast("dict[str, object]", value).items()
            return all(is_unicode(key) and _fits("string", text) for key, text in pairs)
        case _:
            bound = _INTEGERS[shape]
            return type(value) is int and -bound <= value < bound


def write_json_command(schema: RecordSchema, values: Mapping[str, object]) -> bytes:
    """Return the JSON form of a command; fields with their default are left out.

    Raises:
        EncodeError: if a payload is not JSON, or a text not UTF-8.
    """
    members = [encode_payload(COMMAND_FIELD) + b":" + encode_payload(schema.name)]
    no_default = object()
    for field in schema.fields:
        value = values[field.name]
        if value == schema.defaults.get(field.name, no_default):
            continue
        if isinstance(value, bytes) and field.name in HEX_FIELDS:
            members.append(encode_payload({field.name: value.hex()})[1:-1])
        elif isinstance(value, bytes):
            members.append(encode_payload(field.name) + b":" + _payload(value))
        else:
            if isinstance(value, tuple):
                value = [*cast("tuple[object, ...]", value)]
            members.append(encode_payload({field.name: value})[1:-1])
    return b"{" + b",".join(members) + b"}"


def _payload(data: bytes) -> bytes:
    try:
        decode_payload(data)
    except UnreadableError as error:
        raise EncodeError(f"{error} in a command's payload") from error
    return data.strip(_SPACES)
