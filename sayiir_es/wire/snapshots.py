"""Snapshots as the records of the snapshots topic: bytes and headers."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from sayiir_es.core.status.instance_summary import InstanceSummary
from sayiir_es.wire.avro_record import check_head, read_record, write_record
from sayiir_es.wire.errors import UnreadableError
from sayiir_es.wire.events import event_headers
from sayiir_es.wire.schema import (
    HEAD_BYTES,
    SNAPSHOT_NAMESPACE,
    load_older_schemas,
    load_schemas,
)

if TYPE_CHECKING:
    from collections.abc import Callable

KIND = "InstanceSnapshot"

_SCHEMA = load_schemas(SNAPSHOT_NAMESPACE)[KIND]
_NAMES = tuple(field.name for field in _SCHEMA.fields)
_values: Callable[[InstanceSummary], tuple[object, ...]] = attrgetter(*_NAMES)
_BY_HEAD = {
    schema.head: schema for schema in (*load_older_schemas(SNAPSHOT_NAMESPACE), _SCHEMA)
}


def encode_snapshot(snapshot: InstanceSummary) -> bytes:
    """Return the bytes of a snapshot, in single-object encoding.

    Raises:
        EncodeError: if a value is not what its field takes; names the field.
    """
    return write_record(_SCHEMA, dict(zip(_NAMES, _values(snapshot), strict=True)))


def decode_snapshot(data: bytes) -> InstanceSummary:
    """Return the snapshot that the bytes hold.

    Raises:
        DecodeError: if they are none, or of a schema that this build does not know.
    """
    schema = _BY_HEAD.get(data[:HEAD_BYTES])
    if schema is None:
        check_head(data)
        raise UnreadableError(
            "expected the fingerprint of a snapshot schema that this build knows, but "
            f"{data[2:HEAD_BYTES].hex()}",
            reason="unknown_schema",
        )
    values: dict[str, Any] = read_record(schema, _SCHEMA, data)
    return InstanceSummary(**values)


def snapshot_headers(claim: int) -> tuple[tuple[str, bytes], ...]:
    """Return the headers that every record has: kind and claim, as events have."""
    return event_headers(KIND, claim)
