"""Flat records field by field: what is empty, and how it is read."""

from __future__ import annotations

import json

import pytest

from sayiir_es.wire.avro_record import read_record, write_record
from sayiir_es.wire.binary import READERS, WRITERS
from sayiir_es.wire.schema import RecordSchema, parse_record

AVRO: dict[str, object] = {
    "int": "int",
    "long": "long",
    "string": "string",
    "bytes": "bytes",
    "boolean": "boolean",
    "long?": ["null", "long"],
    "string?": ["null", "string"],
    "bytes?": ["null", "bytes"],
    "[string]": {"type": "array", "items": "string"},
    "{string}": {"type": "map", "values": "string"},
    "{bytes}": {"type": "map", "values": "bytes"},
}


def schema_of(shape: str) -> RecordSchema:
    """A record of one field."""
    fields = [{"name": "value", "type": AVRO[shape]}]
    avro = {"type": "record", "name": "Sample", "namespace": "n", "fields": fields}
    return parse_record(json.dumps(avro))


@pytest.mark.parametrize("shape", sorted(WRITERS))
def test_a_zero_byte_is_read_as_the_reader_of_the_shape_reads_it(shape: str) -> None:
    schema = schema_of(shape)
    value, end = READERS[shape](b"\x00", 0)
    assert end == 1
    read = read_record(schema, schema, schema.head + b"\x00")["value"]
    assert (read, type(read)) == (value, type(value))
    assert write_record(schema, {"value": value}) == schema.head + b"\x00"


@pytest.mark.parametrize("shape", ["{string}", "{bytes}"])
def test_records_do_not_share_an_empty_map(shape: str) -> None:
    schema = schema_of(shape)
    data = schema.head + b"\x00"
    first, second = (read_record(schema, schema, data)["value"] for _ in range(2))
    assert first == second == {}
    assert first is not second
