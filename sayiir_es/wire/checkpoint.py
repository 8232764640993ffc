"""The running digest of a partition's events, and the bytes that a checkpoint signs.

Theory of operation. A partition's valid records, claims among them, form a chain: the
digest after a record is SHA-256 over, one after the other,

    the digest before it          32 bytes; all zero before the first record
    its offset                    8 bytes, big-endian, signed
    how long its kind is          2 bytes, big-endian, unsigned
    how long its key is           4 bytes, big-endian, signed; −1 without a key
    its kind                      the header `kind`
    its key                       the record's key
    its value                     the rest, as Avro's single-object encoding has it

The claim itself is no input: a record is valid only under the claim in force, which is
the offset of a record in the chain. Invalid records (late batches of displaced owners)
and gaps are not in the chain. Each `PartitionClaimed` holds a checkpoint of the chain:
the digest of all valid records below `digest_end`, the offset up to which its writer
had folded. So whoever has the log can compute each digest again, and no record below a
checkpoint can change without a change of its digest.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from hashlib import sha256
from struct import Struct

_FRAME = Struct(">qHi")
_SIGNED = Struct(">24siq")
_PURPOSE = b"sayiir-es checkpoint v1\x00"
"""Signed too, so that a signature for another purpose is never one of a checkpoint."""

DIGEST_BYTES = 32


def digest_of(
    before: bytes, offset: int, kind: bytes, key: bytes | None, value: bytes | None
) -> bytes:
    """Return the digest after a valid record, from the digest before it."""
    if key is None:
        frame = _FRAME.pack(offset, len(kind), -1)
        key = b""
    else:
        frame = _FRAME.pack(offset, len(kind), len(key))
    return sha256(b"".join((before, frame, kind, key, value or b""))).digest()


def signed_bytes(partition: int, digest_end: int, digest: bytes) -> bytes:
    """Return the bytes that the signature of a checkpoint signs.

    The text `sayiir-es checkpoint v1` and a zero byte, the partition in 4 and
    `digest_end` in 8 bytes, big-endian and signed, then the digest.
    """
    return _SIGNED.pack(_PURPOSE, partition, digest_end) + digest


class RecentDigests:
    """The digests behind a partition's last events, by offset.

    It begins behind the event at `last`, with the digest there, and keeps `most`
    events, at 40 bytes: at the limit the older half goes.
    """

    def __init__(self, last: int, digest: bytes, *, most: int) -> None:
        self._most = most
        self._offsets = array("q")
        self._digests = bytearray()
        self._first = (last, digest)
        """Offset and digest of the last event that is not kept."""
        self._gone = 0

    @property
    def count(self) -> int:
        """How many events there were."""
        return self._gone + len(self._offsets)

    def add(self, offset: int, digest: bytes) -> None:
        """Take the digest behind the next event."""
        if len(self._offsets) >= self._most:
            self._drop(self._most // 2)
        self._offsets.append(offset)
        self._digests += digest

    def at(self, end: int) -> tuple[bytes, int] | None:
        """The digest of the events below an offset, and their number; None if gone."""
        if end <= self._first[0]:
            return None
        place = bisect_left(self._offsets, end)
        if place == 0:
            return self._first[1], self._gone
        return self._digest(place - 1), self._gone + place

    def forget(self, end: int) -> None:
        """Keep only what tells the digests at `end` and above."""
        self._drop(bisect_left(self._offsets, end))

    def _digest(self, place: int) -> bytes:
        return bytes(self._digests[place * DIGEST_BYTES : (place + 1) * DIGEST_BYTES])

    def _drop(self, count: int) -> None:
        if count:
            self._first = (self._offsets[count - 1], self._digest(count - 1))
            del self._offsets[:count]
            del self._digests[: count * DIGEST_BYTES]
            self._gone += count
