"""The files of an export: records written to them, and read back."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, cast

from sayiir_es.audit.export.decoding import decode_fields
from sayiir_es.audit.export.formats import ExportFormat
from sayiir_es.audit.export.record_chain import RecordChain
from sayiir_es.core.model.errors import UsageError
from sayiir_es.log.port import Record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sayiir_es.audit.export.formats import FileFormat, FileWriter
    from sayiir_es.audit.export.places import Place

_fastavro: Any = import_module("fastavro")
_fastavro_write: Any = import_module("fastavro.write")  # its hints are partial

LINE_BYTES_MAX = 32_000_000
"""Bytes of a line of JSON that are read: a record of a megabyte, which Kafka takes by
default, is a fourth of it, whatever stands in it."""

BLOCK_BYTES = 64 * 1024
"""Of an Avro block before it is compressed: one is held in memory."""

AVRO_SCHEMA: dict[str, object] = {
    "type": "record",
    "name": "ExportedRecord",
    "namespace": "io.sayiir.export.v1",
    "doc": "A record as it stood on a topic of an app.",
    "fields": [
        {"name": "offset", "type": "long", "doc": "In its partition, from 0."},
        {
            "name": "timestamp_ms",
            "type": "long",
            "doc": "The log's own, in milliseconds since 1970.",
        },
        {"name": "key", "type": ["null", "bytes"], "doc": "Its exact bytes."},
        {"name": "value", "type": ["null", "bytes"], "doc": "Its exact bytes."},
        {
            "name": "headers",
            "doc": "In order; names may repeat.",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Header",
                    "doc": "A header of a record.",
                    "fields": [
                        {"name": "name", "type": "string", "doc": "Its name."},
                        {"name": "value", "type": "bytes", "doc": "Its exact bytes."},
                    ],
                },
            },
        },
    ],
}


def file_format_of(name: ExportFormat) -> FileFormat:
    """The format of that name.

    Raises:
        UsageError: if it needs a package that is not installed.
    """
    match name:
        case ExportFormat.AVRO:
            return AvroFiles()
        case ExportFormat.JSONL:
            return JsonLines()
        case ExportFormat.PARQUET:
            try:
                from sayiir_es.audit.export.parquet import (  # noqa: PLC0415 (an extra)
                    ParquetFiles,
                )
            except ImportError as error:
                raise UsageError(
                    "expected pyarrow for Parquet, but it is not installed: "
                    "pip install 'sayiir-es[audit]'"
                ) from error
            return ParquetFiles()


# --- Avro object container files ------------------------------------------------------


class AvroFiles:
    """Avro object container files, compressed by deflate: bytes only."""

    def writer(self, file: IO[bytes], place: Place) -> FileWriter:
        """A writer to an open file."""
        return _AvroWriter(file, place)

    def rows(self, path: Path) -> Iterator[tuple[Record, object]]:
        """Each record; nothing is shown beside."""
        with path.open("rb") as file:
            for row in _fastavro.reader(file, AVRO_SCHEMA):
                headers = ((one["name"], one["value"]) for one in row["headers"])
                record = Record(
                    offset=row["offset"],
                    key=row["key"],
                    value=row["value"],
                    headers=tuple(headers),
                    timestamp_ms=row["timestamp_ms"],
                )
                yield record, None

    def fields_of(self, place: Place, record: Record) -> object:
        """Nothing is shown beside the bytes."""
        del place, record
        return None


class _AvroWriter:
    def __init__(self, file: IO[bytes], place: Place) -> None:
        # A random marker, as usual, would make each export another one.
        marker = hashlib.sha256(RecordChain(place).digest).digest()[:16]
        self._writer = _fastavro_write.Writer(
            file,
            _fastavro.parse_schema(AVRO_SCHEMA),
            codec="deflate",
            sync_interval=BLOCK_BYTES,
            sync_marker=marker,
        )

    def write(self, record: Record) -> None:
        self._writer.write(
            {
                "offset": record.offset,
                "timestamp_ms": record.timestamp_ms,
                "key": record.key,
                "value": record.value,
                "headers": [{"name": n, "value": v} for n, v in record.headers],
            }
        )

    def close(self) -> None:
        self._writer.flush()


# --- JSON lines -----------------------------------------------------------------------


class JsonLines:
    """One JSON object a line: exact bytes in base 64, and the decoded fields."""

    def writer(self, file: IO[bytes], place: Place) -> FileWriter:
        """A writer to an open file."""
        return _LineWriter(file, place)

    def rows(self, path: Path) -> Iterator[tuple[Record, object]]:
        """Each record, and its decoded fields.

        Raises:
            ValueError: if a line is no record, or larger than any.
        """
        with path.open("rb") as file:
            while line := file.readline(LINE_BYTES_MAX + 1):
                if len(line) > LINE_BYTES_MAX:
                    raise ValueError(
                        f"expected lines of at most {LINE_BYTES_MAX} bytes, but one of "
                        f"{path.name!r} is longer"
                    )
                row = cast("dict[str, Any]", json.loads(line))
                yield record_of_line(row), row["decoded"]

    def fields_of(self, place: Place, record: Record) -> object:
        """The decoded fields, as JSON gives them back."""
        return json.loads(json.dumps(decode_fields(place, record)))


def record_of_line(row: dict[str, Any]) -> Record:
    """The record of a line.

    Raises:
        ValueError, KeyError, TypeError: if it is none.
    """
    return Record(
        offset=row["offset"],
        key=_bytes(row["key_base64"]),
        value=_bytes(row["value_base64"]),
        headers=tuple(
            (name, base64.b64decode(text, validate=True))
            for name, text in row["headers_base64"]
        ),
        timestamp_ms=row["timestamp_ms"],
    )


class _LineWriter:
    def __init__(self, file: IO[bytes], place: Place) -> None:
        self._file = file
        self._place = place

    def write(self, record: Record) -> None:
        row = {
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "key_base64": _text(record.key),
            "value_base64": _text(record.value),
            "headers_base64": [(n, _text(v)) for n, v in record.headers],
            "decoded": decode_fields(self._place, record),
        }
        self._file.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        """Nothing is held back."""


def _text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text, validate=True)
