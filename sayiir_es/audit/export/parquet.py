"""Parquet files of an export, for analysis: columns of the fields beside exact bytes.

Needs the extra `audit`; imported only when it is asked for.
"""

from __future__ import annotations

import json
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, cast

from sayiir_es.audit.export.decoding import decode_fields
from sayiir_es.log.port import Record, Topic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sayiir_es.audit.export.formats import FileWriter
    from sayiir_es.audit.export.places import Place

_arrow: Any = import_module("pyarrow")
_parquet: Any = import_module("pyarrow.parquet")

GROUP_RECORDS_MAX = 10_000
GROUP_BYTES_MAX = 8 << 20
"""A row group ends after the record that reaches either: one is held in memory."""

READ_ROWS = 1_000

_PLAIN: tuple[str, ...] = (
    *("kind", "instance_id", "run", "sequence"),
    *("at", "claim", "cause"),
)
"""Columns of their own: what every event has. The rest is in `decoded`, as JSON."""

_SCHEMA: Any = _arrow.schema(
    [
        ("offset", _arrow.int64()),
        ("timestamp_ms", _arrow.int64()),
        ("key", _arrow.binary()),
        ("value", _arrow.binary()),
        (
            "headers",
            _arrow.list_(
                _arrow.struct([("name", _arrow.string()), ("value", _arrow.binary())])
            ),
        ),
        ("kind", _arrow.string()),
        ("instance_id", _arrow.string()),
        ("run", _arrow.int32()),
        ("sequence", _arrow.int64()),
        ("at", _arrow.int64()),
        ("claim", _arrow.int64()),
        ("cause", _arrow.string()),
        ("decoded", _arrow.string()),
    ]
)


class ParquetFiles:
    """Parquet files, compressed by zstd."""

    def writer(self, file: IO[bytes], place: Place) -> FileWriter:
        """A writer to an open file."""
        return _ParquetWriter(file, place)

    def rows(self, path: Path) -> Iterator[tuple[Record, object]]:
        """Each record, and the columns of its fields."""
        with _parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=READ_ROWS):
                for row in cast("list[dict[str, Any]]", batch.to_pylist()):
                    headers = ((one["name"], one["value"]) for one in row["headers"])
                    record = Record(
                        offset=row["offset"],
                        key=row["key"],
                        value=row["value"],
                        headers=tuple(headers),
                        timestamp_ms=row["timestamp_ms"],
                    )
                    yield record, {name: row[name] for name in (*_PLAIN, "decoded")}

    def fields_of(self, place: Place, record: Record) -> object:
        """The columns of its fields."""
        fields = decode_fields(place, record)
        plain: Mapping[str, object] = dict.fromkeys(_PLAIN)
        if place.topic is Topic.EVENTS and isinstance(fields, dict):
            event_fields = cast("dict[str, object]", fields)
            plain = {name: event_fields[name] for name in _PLAIN}
        text = None if fields is None else json.dumps(fields, separators=(",", ":"))
        return {**plain, "decoded": text}


class _ParquetWriter:
    def __init__(self, file: IO[bytes], place: Place) -> None:
        self._place = place
        self._files = ParquetFiles()
        self._writer = _parquet.ParquetWriter(file, _SCHEMA, compression="zstd")
        self._rows: list[dict[str, object]] = []
        self._bytes = 0

    def write(self, record: Record) -> None:
        columns = cast("dict[str, object]", self._files.fields_of(self._place, record))
        row: dict[str, object] = {
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "key": record.key,
            "value": record.value,
            "headers": [{"name": n, "value": v} for n, v in record.headers],
            **columns,
        }
        self._rows.append(row)
        self._bytes += len(record.value or b"") + len(record.key or b"")
        if len(self._rows) >= GROUP_RECORDS_MAX or self._bytes >= GROUP_BYTES_MAX:
            self._write_group()

    def close(self) -> None:
        if self._rows:
            self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        table = _arrow.Table.from_pylist(self._rows, schema=_SCHEMA)
        self._writer.write_table(table, row_group_size=len(self._rows))
        self._rows, self._bytes = [], 0
