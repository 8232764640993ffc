"""The general Avro codec, to compare ours with: it shares no code with it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, cast

import fastavro

from tests.wire.examples import avro_json

if TYPE_CHECKING:
    from collections.abc import Sequence


def without_logical_types(avro: object) -> Any:
    """Return the schema without them, so that the oracle reads times as longs."""
    if isinstance(avro, dict):
        schema = cast("dict[str, Any]", avro)
        return {
            key: without_logical_types(value)
            for key, value in schema.items()
            if key != "logicalType"
        }
    if isinstance(avro, list):
        items = cast("Sequence[object]", avro)
        return [without_logical_types(item) for item in items]
    return avro


class Oracle:
    """Writes and reads records of one schema, without a head."""

    def __init__(self, full_name: str) -> None:
        self._schema = fastavro.parse_schema(
            without_logical_types(avro_json(full_name))
        )

    def write(self, values: dict[str, Any]) -> bytes:
        """Return the record's bytes."""
        stream = io.BytesIO()
        fastavro.schemaless_writer(  # pyright: ignore[reportUnknownMemberType]  # IO of what
            stream, self._schema, values
        )
        return stream.getvalue()

    def read(self, data: bytes) -> object:
        """Return the record's fields."""
        return fastavro.schemaless_reader(  # pyright: ignore[reportUnknownMemberType]  # IO of what
            io.BytesIO(data), self._schema, None
        )
