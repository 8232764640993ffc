"""The Avro schemas of the public contract, as the codec needs them.

Theory of operation. Each record of `schemas/` is flat: primitives, nullable primitives,
maps of strings or bytes, and arrays of strings. A record is written in single-object
encoding, so its first ten bytes, the head, say which schema wrote it. When a schema
gains an optional field, the one before stays in `schemas/frozen/`: its records are read
with its fields, and the defaults of the newest schema are added. Logical types are for
other readers and are stripped here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastavro.schema import (
    SchemaParseException,
    UnknownType,
    fingerprint,
    to_parsing_canonical_form,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

EVENT_NAMESPACE = "io.sayiir.event.v1"
COMMAND_NAMESPACE = "io.sayiir.command.v1"
SNAPSHOT_NAMESPACE = "io.sayiir.snapshot.v1"
ATTEMPT_NAMESPACE = "io.sayiir.attempt.v1"

MAGIC = b"\xc3\x01"
"""The first two bytes of Avro's single-object encoding."""

HEAD_BYTES = 10
"""The magic and the fingerprint of the writer's schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A field of a flat record; `shape` is such as `long`, `string?` or `{string}`."""

    name: str
    shape: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSchema:
    """A flat record; `head` is the first bytes of each record that it writes.

    Attributes:
        name: Without the namespace: the event's kind or the command's name.
        defaults: Values of the fields that have one, as Python values.
    """

    name: str
    head: bytes
    fields: tuple[Field, ...]
    defaults: Mapping[str, object]


def schema_directory() -> Traversable:
    """Return where the `.avsc` files are: in the installed package or the checkout."""
    packaged = resources.files("sayiir_es.wire") / "schemas"
    if packaged.is_dir():
        return packaged
    return Path(__file__).resolve().parents[2] / "schemas"


def parse_record(text: str) -> RecordSchema:
    """Parse one `.avsc` file.

    Raises:
        ValueError: if it is no schema, or a field is of a type that flat records do
            not have.
    """
    schema: dict[str, Any] = json.loads(text)
    try:
        crc = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
    except (SchemaParseException, UnknownType) as error:
        raise ValueError(f"expected an Avro schema, but {error}") from error
    fields = tuple(
        Field(name=field["name"], shape=_shape(field["type"]))
        for field in schema["fields"]
    )
    defaults = {
        field["name"]: _default(_shape(field["type"]), field["default"])
        for field in schema["fields"]
        if "default" in field
    }
    head = MAGIC + bytes.fromhex(crc)  # the hex is of the little-endian bytes already
    return RecordSchema(
        name=schema["name"], head=head, fields=fields, defaults=defaults
    )


def load_schemas(namespace: str) -> dict[str, RecordSchema]:
    """Return the newest schema of each record of a namespace, by name."""
    return {schema.name: schema for schema in _parse_all(schema_directory(), namespace)}


def load_older_schemas(namespace: str) -> list[RecordSchema]:
    """Return the schemas that were published earlier; the newest may be among them."""
    return _parse_all(schema_directory() / "frozen", namespace)


def _parse_all(directory: Traversable, namespace: str) -> list[RecordSchema]:
    files = sorted(
        (file for file in directory.iterdir() if file.name.startswith(f"{namespace}.")),
        key=lambda file: file.name,
    )
    return [parse_record(file.read_text(encoding="utf-8")) for file in files]


def _shape(avro: Any) -> str:
    match avro:
        case "int" | "long" | "string" | "bytes" | "boolean":
            return str(avro)
        case ["null", inner]:
            return f"{_shape(inner)}?"
        case {"type": "map", "values": "string" | "bytes" as inner}:
            return f"{{{inner}}}"
        case {"type": "array", "items": "string"}:
            return "[string]"
        case {"type": str() as inner, "logicalType": str()}:
            return _shape(inner)
        case _:
            raise ValueError(f"expected a type of a flat record, but {avro!r}")


def _default(shape: str, value: Any) -> object:
    match shape:
        case "bytes":
            return value.encode("latin-1")  # as Avro writes bytes in JSON
        case "[string]":
            return tuple(value)
        case _:
            return value
