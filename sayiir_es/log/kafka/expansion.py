"""How far a compressed batch expands, found out within a bound of memory.

A megabyte of zeros is a kilobyte of gzip, and less of zstd. On the topics that we make
the broker unpacks what clients compress, and refuses what is too large; on others a
batch may come as its producer packed it. One that expands beyond the limit is never
unpacked here: its offsets get records without a key and a value, whose header says why.
The owner dead-letters them as it does any record that nobody can read.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import cramjam

from sayiir_es.log.kafka.lenient_decoder import DecodedRecord
from sayiir_es.log.port import EXPANDS_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterator

EXPANDED_BYTES_MAX = 64 * 1024 * 1024
"""How many bytes a batch may expand to: some times what a broker takes by default, with
a ratio that text has."""

# A batch begins with its base offset and its length without these 12 bytes.
_PREFIX = struct.Struct(">qi")
_FLAGS_AT, _RECORDS_AT = 21, 61
_CODEC_MASK = 7
_GZIP_WINDOW = zlib.MAX_WBITS | 16
_GZIP_RATIO_MAX, _LZ4_RATIO_MAX = 1_032, 255
"""By their formats no input expands further."""
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16
_VARINT_BYTES_MAX = 5
_PIECE_BYTES = 1 << 20
_FULL = "failed to write whole buffer"
"""How cramjam says that its output buffer is full."""


def is_too_large(
    data: bytes, base_offset: int, limit: int = EXPANDED_BYTES_MAX
) -> bool:
    """Whether the batch at `base_offset` in the bytes of a fetch expands too far.

    One that cannot be unpacked at all is told by whoever unpacks it.
    """
    at = 0
    while at + _RECORDS_AT <= len(data):
        base, length = _PREFIX.unpack_from(data, at)
        end = at + _PREFIX.size + length
        if base == base_offset:
            (flags,) = struct.unpack_from(">h", data, at + _FLAGS_AT)
            body = memoryview(data)[at + _RECORDS_AT : end]
            return _expands_beyond(flags & _CODEC_MASK, body, limit)
        at = end
    return False


def placeholders(batch: Any) -> Iterator[DecodedRecord]:
    """A record for each offset of a batch that is not unpacked."""
    text = f"expected a batch of at most {EXPANDED_BYTES_MAX} bytes when unpacked"
    for offset in range(batch.base_offset, batch.next_offset):
        yield DecodedRecord(
            offset=offset,
            timestamp=batch.max_timestamp,
            key=None,
            value=None,
            headers=[(EXPANDS_HEADER, text.encode())],
        )


def _expands_beyond(codec: int, body: memoryview, limit: int) -> bool:
    match codec:
        case 1:  # gzip
            return len(body) * _GZIP_RATIO_MAX > limit and _gzip_beyond(body, limit)
        case 2:  # snappy
            return _snappy_size(body, limit) > limit
        case 3:  # lz4
            return len(body) * _LZ4_RATIO_MAX > limit and _fills(
                cramjam.lz4, body, limit
            )
        case 4:  # zstd
            return _fills(cramjam.zstd, body, limit)
        case _:
            return False


def _gzip_beyond(body: memoryview, limit: int) -> bool:
    size, rest = 0, bytes(body)
    while rest:  # members follow one another
        unpacker = zlib.decompressobj(_GZIP_WINDOW)
        try:
            while rest and not unpacker.eof:
                size += len(unpacker.decompress(rest, _PIECE_BYTES))
                rest = unpacker.unconsumed_tail
                if size > limit:
                    return True
        except zlib.error:
            return False
        rest = unpacker.unused_data
    return False


def _snappy_size(body: memoryview, limit: int) -> int:
    """The sum of what its blocks say that they expand to; none expands to more."""
    if bytes(body[: len(_XERIAL)]) != _XERIAL:
        return _varint(body)
    size, at = 0, _XERIAL_HEADER_BYTES
    while at + 4 <= len(body) and size <= limit:
        (length,) = struct.unpack_from(">i", body, at)
        if length <= 0:
            break
        size += _varint(body[at + 4 : at + 4 + length])
        at += 4 + length
    return size


def _varint(data: memoryview) -> int:
    value = 0
    for number, byte in enumerate(data[:_VARINT_BYTES_MAX]):
        value |= (byte & 0x7F) << 7 * number
        if byte < 0x80:  # noqa: PLR2004 - the bit that says more follow
            break
    return value


def _fills(codec: Any, body: memoryview, limit: int) -> bool:
    """Whether what is unpacked does not fit a buffer of `limit` bytes.

    The buffer's pages are the system's zero page until they are written to.
    """
    try:
        codec.decompress_into(bytes(body), bytearray(limit))
    except cramjam.DecompressionError as error:
        return _FULL in str(error)
    except OSError:
        return False
    return False
