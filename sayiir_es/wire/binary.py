"""Avro's binary encoding of flat records, as small functions picked once per field.

Theory of operation. A field's writer turns a value into bytes; its reader takes the
record's bytes and a place in them and returns the value and the place after it. Which
functions serve a record is looked up once, when its schema is loaded; the hot path then
only calls them. For such small records this takes less than half the time of the
general codec with its dicts (`benchmarks/codec.py`), against which the tests compare
every shape. No reader trusts a length: that many bytes must be there before a value is
made of them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from sayiir_es.wire.errors import UnreadableError, excerpt_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Writer: TypeAlias = "Callable[[Any], bytes]"
Reader: TypeAlias = "Callable[[bytes, int], tuple[Any, int]]"

_LONG_BITS = 64
_INT_MIN, _INT_MAX = -(2**31), 2**31 - 1
_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1


def _encode_long(value: int) -> bytes:
    if not _LONG_MIN <= value <= _LONG_MAX:
        raise OverflowError(f"expected a 64-bit integer, but {excerpt_of(value)}")
    remaining = value << 1 if value >= 0 else ~(value << 1)
    encoded = bytearray()
    while remaining > 127:  # noqa: PLR2004  # seven bits a byte, the eighth says "goes on"
        encoded.append(remaining & 127 | 128)
        remaining >>= 7
    encoded.append(remaining)
    return bytes(encoded)


_SMALL_MAX = 8192
"""Integers from 0 that take at most two bytes, as most lengths and counters do."""

_SMALL = tuple(_encode_long(value) for value in range(_SMALL_MAX))
_ONE_BYTE = tuple((byte >> 1) ^ -(byte & 1) for byte in range(128))

write_recurring_long = lru_cache(maxsize=1024)(_encode_long)
"""For claims and times, of which neighbouring events have the same."""


# --- writers --------------------------------------------------------------------------


def write_long(value: int) -> bytes:
    """Encode a long."""
    return _SMALL[value] if 0 <= value < _SMALL_MAX else _encode_long(value)


def write_int(value: int) -> bytes:
    """Encode an int; it must fit in 32 bits."""
    if 0 <= value < _SMALL_MAX:
        return _SMALL[value]
    if not _INT_MIN <= value <= _INT_MAX:
        raise OverflowError(f"expected a 32-bit integer, but {excerpt_of(value)}")
    return _encode_long(value)


def write_string(value: str) -> bytes:
    """Encode a string."""
    encoded = value.encode()
    size = len(encoded)
    return (_SMALL[size] if size < _SMALL_MAX else _encode_long(size)) + encoded


write_recurring_string = lru_cache(maxsize=1024)(write_string)
"""For the few paths, references and workers that neighbouring events name."""


def write_bytes(value: bytes) -> bytes:
    """Encode bytes."""
    size = len(value)
    return (_SMALL[size] if size < _SMALL_MAX else _encode_long(size)) + value


def _write_boolean(value: bool) -> bytes:  # noqa: FBT001  # called by position
    return b"\x01" if value else b"\x00"


def _write_string_or_null(value: str | None) -> bytes:
    return b"\x00" if value is None else b"\x02" + write_string(value)


def _write_bytes_or_null(value: bytes | None) -> bytes:
    return b"\x00" if value is None else b"\x02" + write_bytes(value)


def _write_long_or_null(value: int | None) -> bytes:
    return b"\x00" if value is None else b"\x02" + write_long(value)


def _write_strings(values: tuple[str, ...]) -> bytes:
    if not values:
        return b"\x00"
    return b"".join((write_long(len(values)), *map(write_string, values), b"\x00"))


def _write_string_map(values: Mapping[str, str]) -> bytes:
    if not values:
        return b"\x00"
    pairs = (write_string(key) + write_string(text) for key, text in values.items())
    return b"".join((write_long(len(values)), *pairs, b"\x00"))


def _write_bytes_map(values: Mapping[str, bytes]) -> bytes:
    if not values:
        return b"\x00"
    pairs = (write_string(key) + write_bytes(value) for key, value in values.items())
    return b"".join((write_long(len(values)), *pairs, b"\x00"))


# --- readers --------------------------------------------------------------------------
#
# The end of the bytes is an IndexError, bad UTF-8 a UnicodeDecodeError: `read_record`
# and `decode_event` turn both into an `UnreadableError`. So nothing is checked twice
# here.


def read_long(data: bytes, place: int) -> tuple[int, int]:
    """Decode a long."""
    byte = data[place]
    place += 1
    if byte < 128:  # noqa: PLR2004  # the eighth bit says "goes on"
        return _ONE_BYTE[byte], place
    value = byte & 127
    shift = 7
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:  # noqa: PLR2004  # as above
            break
        shift += 7
        if shift >= _LONG_BITS:
            raise UnreadableError(
                "expected an integer of at most 10 bytes, but it goes on",
                reason="bad_integer",
            )
    if value >> _LONG_BITS:
        raise UnreadableError(
            "expected a 64-bit integer, but a longer one", reason="bad_integer"
        )
    return (value >> 1) ^ -(value & 1), place


def read_int(data: bytes, place: int) -> tuple[int, int]:
    """Decode an int; it must fit in 32 bits."""
    byte = data[place]
    if byte < 128:  # noqa: PLR2004  # as above; saves a call
        return _ONE_BYTE[byte], place + 1
    value, place = read_long(data, place)
    if not _INT_MIN <= value <= _INT_MAX:
        raise UnreadableError(
            f"expected a 32-bit integer, but {value}", reason="bad_integer"
        )
    return value, place


def read_string(data: bytes, place: int) -> tuple[str, int]:
    """Decode a string."""
    size = data[place]
    if size < 128:  # noqa: PLR2004  # as above; saves a call
        size = _ONE_BYTE[size]
        place += 1
    else:
        size, place = read_long(data, place)
    end = place + size
    if size < 0 or end > len(data):
        raise _length_error(size, len(data) - place)
    return data[place:end].decode(), end


def read_bytes(data: bytes, place: int) -> tuple[bytes, int]:
    """Decode bytes."""
    size = data[place]
    if size < 128:  # noqa: PLR2004  # as above; saves a call
        size = _ONE_BYTE[size]
        place += 1
    else:
        size, place = read_long(data, place)
    end = place + size
    if size < 0 or end > len(data):
        raise _length_error(size, len(data) - place)
    return data[place:end], end


def _length_error(size: int, bytes_left: int) -> UnreadableError:
    return UnreadableError(
        f"expected a length from 0 to the {bytes_left} bytes left, but {size}",
        reason="truncated" if size > 0 else "bad_length",
    )


def _read_boolean(data: bytes, place: int) -> tuple[bool, int]:
    byte = data[place]
    if byte > 1:
        raise UnreadableError(
            f"expected a boolean of 0 or 1, but {byte}", reason="bad_boolean"
        )
    return byte == 1, place + 1


def _or_null(read: Reader) -> Reader:
    def read_or_null(data: bytes, place: int) -> tuple[Any, int]:
        branch = data[place]
        if branch == 0:
            return None, place + 1
        if branch != 2:  # noqa: PLR2004  # branch 1, zigzag
            raise UnreadableError(
                f"expected null or a value, but branch byte {branch}",
                reason="bad_branch",
            )
        return read(data, place + 1)

    return read_or_null


def _read_block(data: bytes, place: int) -> tuple[int, int]:
    count, place = read_long(data, place)
    if count < 0:  # then the block's size in bytes follows, for those who skip it
        count = -count
        _, place = read_long(data, place)
    if count > len(data) - place:  # each item takes a byte at least
        raise _length_error(count, len(data) - place)
    return count, place


def _read_strings(data: bytes, place: int) -> tuple[tuple[str, ...], int]:
    values: list[str] = []
    while True:
        count, place = _read_block(data, place)
        if count == 0:
            return tuple(values), place
        for _ in range(count):
            text, place = read_string(data, place)
            values.append(text)


def _read_string_map(data: bytes, place: int) -> tuple[dict[str, str], int]:
    values: dict[str, str] = {}
    while True:
        count, place = _read_block(data, place)
        if count == 0:
            return values, place
        for _ in range(count):
            key, place = read_string(data, place)
            values[key], place = read_string(data, place)


def _read_bytes_map(data: bytes, place: int) -> tuple[dict[str, bytes], int]:
    values: dict[str, bytes] = {}
    while True:
        count, place = _read_block(data, place)
        if count == 0:
            return values, place
        for _ in range(count):
            key, place = read_string(data, place)
            values[key], place = read_bytes(data, place)


WRITERS: Mapping[str, Writer] = {
    "int": write_int,
    "long": write_long,
    "string": write_string,
    "bytes": write_bytes,
    "boolean": _write_boolean,
    "long?": _write_long_or_null,
    "string?": _write_string_or_null,
    "bytes?": _write_bytes_or_null,
    "[string]": _write_strings,
    "{string}": _write_string_map,
    "{bytes}": _write_bytes_map,
}
"""By the shape of the field (`wire.schema`)."""

READERS: Mapping[str, Reader] = {
    "int": read_int,
    "long": read_long,
    "string": read_string,
    "bytes": read_bytes,
    "boolean": _read_boolean,
    "long?": _or_null(read_long),
    "string?": _or_null(read_string),
    "bytes?": _or_null(read_bytes),
    "[string]": _read_strings,
    "{string}": _read_string_map,
    "{bytes}": _read_bytes_map,
}
"""By the shape of the field (`wire.schema`)."""
