"""Frames of msgpack on a stream of bytes.

A frame is a length of four bytes, big-endian, and so many bytes of msgpack.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any

import msgpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_LENGTH = Struct(">I")

LENGTH_BYTES = _LENGTH.size

CONTENT_BYTES_MAX = 0xFFFF_FFFF

_msgpack: Any = msgpack  # ships no hints
_pack: Callable[..., bytes] = _msgpack.packb
_unpack: Callable[..., object] = _msgpack.unpackb

_UNREADABLE = (ValueError, TypeError, OverflowError, _msgpack.UnpackException)
"""What msgpack raises for bytes that it did not write."""


class FrameError(Exception):
    """What a peer sent is no frame, or says nothing that is understood."""


def encode_frame(fields: Sequence[object], *, unicode_errors: str = "strict") -> bytes:
    """A frame of an array; `unicode_errors` as of `str.encode`."""
    content = _pack(fields, unicode_errors=unicode_errors)
    return _LENGTH.pack(len(content)) + content


def decode_content(content: bytes, *, unicode_errors: str = "strict") -> object:
    """Read a frame without its length; arrays are tuples, `unicode_errors` as sent.

    Raises:
        FrameError: it is no msgpack.
    """
    try:
        return _unpack(content, use_list=False, unicode_errors=unicode_errors)
    except _UNREADABLE as error:
        raise FrameError(f"expected msgpack, but {error}") from error


class FrameBuffer:
    """The bytes that came from one peer and are no whole frame yet.

    Args:
        bytes_max: The largest frame, without its length.
    """

    def __init__(self, bytes_max: int = CONTENT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = bytearray()

    def add(self, piece: bytes) -> Iterator[bytes]:
        """Take some bytes and give the frames that are whole now, without lengths.

        Raises:
            FrameError: one is too large.
        """
        self._bytes += piece
        start = 0
        try:
            while len(self._bytes) - start >= LENGTH_BYTES:
                (length,) = _LENGTH.unpack_from(self._bytes, start)
                if length > self._bytes_max:
                    raise FrameError(
                        f"expected a frame of at most {self._bytes_max} bytes, but "
                        f"of {length}"
                    )
                end = start + LENGTH_BYTES + length
                if len(self._bytes) < end:
                    break
                content = bytes(memoryview(self._bytes)[start + LENGTH_BYTES : end])
                start = end
                yield content
        finally:
            del self._bytes[:start]
