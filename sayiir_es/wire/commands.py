"""Commands as the records of the commands topic: JSON or Avro, from anyone.

Theory of operation. Both forms hold the fields of the command's schema; the first byte
of a record says which form it has. A record first becomes a dict of fields and then a
command: ids that were left out are taken from the record's key and place, and fields
with a fixed set of values are checked. A record that cannot be read is a `DecodeError`
(it goes to the dead letters). A command that can be read but not accepted, such as one
with an id that is too long, is refused later, by the owner.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from dataclasses import dataclass
from operator import attrgetter, call
from typing import TYPE_CHECKING, Any, get_args

from sayiir_es.core.model.child_records import CHILD_ENDS
from sayiir_es.core.model.commands import CONFLICT_POLICIES, Command, StartWorkflow
from sayiir_es.wire.avro_record import (
    UNWRITABLE,
    check_head,
    read_record,
    write_record,
)
from sayiir_es.wire.binary import WRITERS
from sayiir_es.wire.command_json import (
    HEX_FIELDS,
    read_json_command,
    write_json_command,
)
from sayiir_es.wire.errors import UnreadableError, excerpt_of
from sayiir_es.wire.payload import check_payload
from sayiir_es.wire.schema import (
    COMMAND_NAMESPACE,
    HEAD_BYTES,
    MAGIC,
    load_older_schemas,
    load_schemas,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sayiir_es.wire.binary import Writer
    from sayiir_es.wire.schema import RecordSchema

ORIGIN_HEADER = "origin"
"""On a forwarded command: `PARTITION@OFFSET`, where it was first."""

_ORIGIN = re.compile(rb"(0|[1-9][0-9]{0,9})@(0|[1-9][0-9]{0,17})")

_call: Any = call  # so that `map` loops in C: its stub binds one argument

_CLASSES: dict[str, type[Command]] = {
    command.__name__: command for command in get_args(Command)
}
_SCHEMAS = load_schemas(COMMAND_NAMESPACE)
_BY_HEAD = {
    schema.head: schema
    for schema in (*load_older_schemas(COMMAND_NAMESPACE), *_SCHEMAS.values())
}


@dataclass(frozen=True, slots=True)
class _Encoding:
    """How the commands of a class become bytes: looked up once for each class."""

    schema: RecordSchema
    writers: tuple[Writer, ...]
    values: Callable[[Command], tuple[Any, ...]]


def _encoding_of(schema: RecordSchema) -> _Encoding:
    return _Encoding(
        schema,
        tuple(WRITERS[field.shape] for field in schema.fields),
        attrgetter(*(field.name for field in schema.fields)),
    )


_ENCODINGS = {
    command: _encoding_of(_SCHEMAS[name]) for name, command in _CLASSES.items()
}

_VALUES_OF_FIELD: Mapping[str, tuple[str, ...]] = {
    "conflict_policy": CONFLICT_POLICIES,
    "result": ("completed", "failed", "withdrawn"),
    "end": CHILD_ENDS,
    "loop": ("none", "again", "done"),
}
"""Fields that take one of a few values."""

_WORDS = {
    name: tuple(
        (field.name, _VALUES_OF_FIELD[field.name])
        for field in schema.fields
        if field.name in _VALUES_OF_FIELD
    )
    for name, schema in _SCHEMAS.items()
}
"""The same, by the command that has them."""

_PAYLOADS = {
    name: tuple(
        field.name
        for field in schema.fields
        if field.shape in {"bytes", "bytes?"} and field.name not in HEX_FIELDS
    )
    for name, schema in _SCHEMAS.items()
}
"""By the command: its fields that hold JSON."""


def decode_command(
    *,
    key: bytes | None,
    value: bytes | None,
    partition: int,
    offset: int,
) -> Command:
    """Return the command of a record at `partition`@`offset`, with its ids resolved.

    The body's `instance_id` wins over the key. Without both a start gets an id made of
    the record's place, and other commands an empty one, which the owner refuses. A
    forwarded command has its ids.

    Raises:
        DecodeError: if it is no command of a known schema; an `UnreadableError`, whose
            `reason` is short and stable.
    """
    if value is None:
        raise UnreadableError("expected a command, but null", reason="null")
    if not value:
        raise UnreadableError("expected a command, but no bytes", reason="empty")
    is_avro = value[0] == MAGIC[0]
    name, values = _read_avro(value) if is_avro else _read_json(value)
    _resolve_ids(values, name, key, f"{partition}@{offset}")
    for field, allowed in _WORDS[name]:
        if values[field] not in allowed:
            raise UnreadableError(
                f"expected {name}.{field} to be one of {', '.join(allowed)}, but "
                f"{excerpt_of(values[field])}",
                reason="unknown_word",
            )
    if is_avro:  # JSON within JSON was read already
        for field in _PAYLOADS[name]:
            payload = values[field]
            if isinstance(payload, bytes):
                _check_payload(payload, f"{name}.{field}")
    build: Any = _CLASSES[name]  # its fields are the schema's, a test holds them so
    command: Command = build(**values)
    return command


def encode_command_avro(command: Command) -> bytes:
    """Return the bytes of a command in Avro's single-object encoding.

    Raises:
        EncodeError: if a value is not what its field takes; names the field.
    """
    encoding = _ENCODINGS[type(command)]
    try:
        parts = map(_call, encoding.writers, encoding.values(command))
        return b"".join((encoding.schema.head, *parts))
    except UNWRITABLE:
        return write_record(encoding.schema, _values_of(command))  # names the field


def encode_command_json(command: Command) -> bytes:
    """Return the bytes of a command as JSON; fields with their default are left out.

    Raises:
        EncodeError: if a payload is not JSON, or a text not UTF-8.
    """
    return write_json_command(_SCHEMAS[type(command).__name__], _values_of(command))


def read_origin(headers: Sequence[tuple[str, bytes]]) -> tuple[int, int] | None:
    """Return the partition and offset where a forwarded command was first.

    None if there is no such header, or one that no owner writes: then the command
    counts as not forwarded. Whether an owner wrote it nobody knows from the header:
    `engine.commands.origins` checks what it says.
    """
    for name, value in headers:
        if name == ORIGIN_HEADER:
            match = _ORIGIN.fullmatch(value)
            return None if match is None else (int(match[1]), int(match[2]))
    return None


def write_origin(origin: tuple[int, int]) -> tuple[tuple[str, bytes], ...]:
    """Return the headers of a forwarded command."""
    return ((ORIGIN_HEADER, b"%d@%d" % origin),)


def _values_of(command: Command) -> dict[str, object]:
    encoding = _ENCODINGS[type(command)]
    names = (field.name for field in encoding.schema.fields)
    return dict(zip(names, encoding.values(command), strict=True))


def _read_json(value: bytes) -> tuple[str, dict[str, object]]:
    # Whitespace and a byte-order mark are what editors and consoles put before JSON.
    json_value = value.removeprefix(BOM_UTF8).lstrip(b" \t\r\n")
    if json_value[:1] != b"{":
        raise UnreadableError(
            "expected JSON that begins with { or Avro that begins with c301, but "
            f"{value[:2].hex()}",
            reason="bad_magic",
        )
    return read_json_command(_SCHEMAS, json_value)


def _read_avro(value: bytes) -> tuple[str, dict[str, object]]:
    check_head(value)
    schema = _BY_HEAD.get(value[:HEAD_BYTES])
    if schema is None:
        raise UnreadableError(
            "expected the fingerprint of a command's schema, but "
            f"{value[2:HEAD_BYTES].hex()}",
            reason="unknown_schema",
        )
    return schema.name, read_record(schema, _SCHEMAS[schema.name], value)


def _check_payload(payload: bytes, where: str) -> None:
    """Refuse bytes that the JSON form of the command could not have brought."""
    try:
        check_payload(payload)
    except UnreadableError as error:
        raise UnreadableError(f"{error} in {where}", reason="bad_payload") from error


def _check_key(key: bytes) -> None:
    """Refuse a key that names an instance in a way that nobody else will name it.

    Taken as it is, it would be a second identity of what its sender means.
    """
    if key.startswith(BOM_UTF8):
        wrong = "one that begins with a byte-order mark: leave it out"
    elif len(key) > 1 and key[:1] == key[-1:] == b'"':
        wrong = (
            "one in quotes: write the bare id (of Connect: "
            "key.converter=org.apache.kafka.connect.storage.StringConverter)"
        )
    elif b"\0" in key:
        wrong = "a binary one: write a number as its digits, not by a LongSerializer"
    else:
        return
    raise UnreadableError(
        f"expected a key that is the instance id as text, but {excerpt_of(key)}, "
        f"{wrong}",
        reason="bad_key",
    )


def _resolve_ids(
    values: dict[str, object], name: str, key: bytes | None, place: str
) -> None:
    if values["command_id"] is None:
        values["command_id"] = place
    if values["instance_id"] is not None:
        return
    if key:  # an empty key is what `kcat` sends for none
        _check_key(key)
        try:
            values["instance_id"] = key.decode()
        except UnicodeDecodeError as error:
            raise UnreadableError(
                f"expected a key in UTF-8, but {excerpt_of(key)}", reason="bad_key"
            ) from error
    else:
        values["instance_id"] = place if name == StartWorkflow.__name__ else ""
