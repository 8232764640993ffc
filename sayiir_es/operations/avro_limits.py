"""How large an export's Avro file is when it is unpacked, before a record is read.

A few bytes of deflate can stand for gigabytes, and a schema of others for records
without any bytes. So a file that a person hands in is measured first: its blocks are
unpacked piece by piece, and nothing of them is kept.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sayiir_es.audit.export.files import AVRO_SCHEMA
from sayiir_es.core.model.errors import DecodeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_schema: Any = import_module("fastavro.schema")

MAGIC_BYTES = 4
SYNC_BYTES = 16
PIECE_BYTES = 1024 * 1024
VARINT_BITS = 64


def check_avro_file(data: bytes, name: str, *, unpacked_max: int) -> None:
    """Refuse a file that is no export, or that is too large unpacked.

    Raises:
        DecodeError: if its schema, its compression or its form is that of no export.
        UsageError: if it is larger than `unpacked_max` bytes when it is unpacked.
    """
    try:
        cursor = _Cursor(data, MAGIC_BYTES)
        metadata = _metadata(cursor)
        codec = metadata.get(b"avro.codec", b"null")
        canonical = _schema.to_parsing_canonical_form
        schema = canonical(json.loads(metadata[b"avro.schema"]))
        is_export = schema == canonical(AVRO_SCHEMA)
        size = sum(_unpacked_sizes(cursor, codec, unpacked_max)) if is_export else 0
    except (ValueError, LookupError, TypeError, RecursionError, zlib.error) as error:
        raise DecodeError(
            f"expected an export's Avro file, but {name!r} is none or is damaged: "
            f"{type(error).__name__}: {error}"
        ) from error
    except _schema.SchemaParseException as error:
        raise DecodeError(
            f"expected an export's Avro file, but the schema of {name!r} is none: "
            f"{error}"
        ) from error
    if not is_export:
        raise DecodeError(
            f"expected an export's Avro file, but {name!r} has another schema"
        )
    if size > unpacked_max:
        raise UsageError(
            f"expected at most {unpacked_max:,} bytes of unpacked records, but "
            f"{name!r} has more: hand in the history of one instance"
        )


@dataclass(slots=True)
class _Cursor:
    data: bytes
    at: int

    def number(self) -> int:
        """The next number, as Avro writes it."""
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:  # noqa: PLR2004 (more follow)
                return (value >> 1) ^ -(value & 1)
            if shift >= VARINT_BITS:
                raise ValueError("expected a number, but it does not end")

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if not 0 <= count <= len(self.data) - self.at:
            raise ValueError(f"expected {count} more bytes, but the file ends")
        self.at += count
        return self.data[self.at - count : self.at]


def _metadata(cursor: _Cursor) -> dict[bytes, bytes]:
    metadata: dict[bytes, bytes] = {}
    while (count := cursor.number()) != 0:
        if count < 0:
            cursor.number()  # the size of these entries
        for _ in range(abs(count)):
            key = cursor.take(cursor.number())
            metadata[key] = cursor.take(cursor.number())
    cursor.take(SYNC_BYTES)
    return metadata


def _unpacked_sizes(cursor: _Cursor, codec: bytes, limit: int) -> Iterator[int]:
    """The size of each block, up to where they are too large together."""
    total = 0
    while cursor.at < len(cursor.data) and total <= limit:
        cursor.number()  # how many records
        block = cursor.take(cursor.number())
        cursor.take(SYNC_BYTES)
        size = _unpacked_size(block, codec, limit - total)
        total += size
        yield size


def _unpacked_size(block: bytes, codec: bytes, limit: int) -> int:
    match codec:
        case b"null":
            return len(block)
        case b"deflate":
            unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
            size = len(unpacking.decompress(block, PIECE_BYTES))
            while unpacking.unconsumed_tail and size <= limit:
                tail = unpacking.unconsumed_tail
                size += len(unpacking.decompress(tail, PIECE_BYTES))
            return size
        case _:
            raise ValueError(f"expected the codec deflate or null, but {codec!r:.50}")
