"""Decodes a batch whose header names are not UTF-8, which aiokafka's decoder cannot.

Anyone may write commands. One such record would stop its partition for good, because
aiokafka's iterator ends in a `UnicodeDecodeError` in the middle of the batch. Here the
bytes of such a name are escaped, and the owner refuses the record like any other that
it cannot read. It is slow, and only used for such a batch.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiokafka.codec import (
    gzip_decode,
    has_lz4,
    has_snappy,
    has_zstd,
    lz4_decode,
    snappy_decode,
    zstd_decode,
)

from sayiir_es.core.model.errors import LogUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A batch begins with its base offset and its length without these 12 bytes.
_PREFIX = struct.Struct(">qi")
_REST = struct.Struct(">xxxxxxxxxhiqqqhii")  # leader epoch, magic and checksum skipped
_RECORDS_AT = 61
_CODEC_MASK, _LOG_APPEND_TIME = 7, 8
_CODECS: dict[int, tuple[Callable[[bytes], bytes], Callable[[], bool]]] = {
    1: (gzip_decode, lambda: True),
    2: (snappy_decode, has_snappy),
    3: (lz4_decode, has_lz4),
    4: (zstd_decode, has_zstd),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedRecord:
    """A record with the attributes that aiokafka's records have."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


def records(data: bytes, base_offset: int) -> Iterator[DecodedRecord]:
    """Yield the records of the batch at `base_offset` in the bytes of a fetch.

    Raises:
        LogUnavailableError: the batch is not there, or its compression is unknown.
    """
    at = 0
    while at + _RECORDS_AT <= len(data):
        base, length = _PREFIX.unpack_from(data, at)
        if base == base_offset:
            return _records(data[at : at + _PREFIX.size + length])
        at += _PREFIX.size + length
    raise LogUnavailableError(f"expected a batch at {base_offset}, but there is none")


def _records(batch: bytes) -> Iterator[DecodedRecord]:
    base, _ = _PREFIX.unpack_from(batch)
    flags, _, first_ms, last_ms, *_, count = _REST.unpack_from(batch, _PREFIX.size)
    body = batch[_RECORDS_AT:]
    if flags & _CODEC_MASK:
        body = _decompressed(body, flags & _CODEC_MASK, base)
    cursor = _Cursor(body)
    for _ in range(count):
        cursor.number()  # the record's length
        cursor.skip(1)  # its attributes, of which Kafka has none yet
        delta_ms = cursor.number()
        offset = base + cursor.number()
        yield DecodedRecord(
            offset=offset,
            timestamp=last_ms if flags & _LOG_APPEND_TIME else first_ms + delta_ms,
            key=cursor.text(),
            value=cursor.text(),
            headers=[
                (_escaped(cursor.text()), cursor.text()) for _ in range(cursor.number())
            ],
        )


def _decompressed(body: bytes, codec: int, base: int) -> bytes:
    decode, is_installed = _CODECS.get(codec, (None, None))
    if decode is None or is_installed is None or not is_installed():
        raise LogUnavailableError(
            f"expected a compression that this process can undo in the batch at {base},"
            f" but codec {codec}: install cramjam"
        )
    data: bytes = decode(body)
    return data


def _escaped(name: bytes | None) -> str:
    return (name or b"").decode(errors="backslashreplace")


class _Cursor:
    """Reads Kafka's variable-length numbers and byte strings one after another."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def skip(self, count: int) -> None:
        self._at += count

    def number(self) -> int:
        shift = value = 0
        while True:
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the bit that says more follow
                return value >> 1 ^ -(value & 1)
            shift += 7

    def text(self) -> bytes | None:
        length = self.number()
        if length < 0:
            return None
        begin = self._at
        self._at += length
        return self._data[begin : self._at]
