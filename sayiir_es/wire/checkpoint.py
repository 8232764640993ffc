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
