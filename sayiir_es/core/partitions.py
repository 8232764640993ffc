"""Which partition a key belongs to: Java's murmur2, as Kafka's own producers place it.

librdkafka's default partitioner is another one (CRC-32), so the partition is always
computed here and named to whatever client writes.
"""

from __future__ import annotations

import struct
from functools import lru_cache

# The constants of `org.apache.kafka.common.utils.Utils.murmur2`.
_SEED = 0x9747B28C
_M = 0x5BD1E995
_R = 24
_MASK = 0xFFFFFFFF


def murmur2(key: bytes) -> int:
    """Return Kafka's 32-bit murmur2 of the key, as an unsigned number."""
    length = len(key)
    words = length >> 2
    h = _SEED ^ length
    for word in struct.unpack_from(f"<{words}I", key):
        k = word * _M & _MASK
        k = (k ^ k >> _R) * _M & _MASK
        h = h * _M & _MASK ^ k
    rest = int.from_bytes(key[words << 2 :], "little")
    if length & 3:
        h = (h ^ rest) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


@lru_cache(maxsize=4_096)
def partition_of(key: bytes, count: int) -> int:
    """Return the partition, from 0, of `key` in a topic of `count` partitions.

    The latest keys are remembered: a client asks for each two or three times.
    """
    return (murmur2(key) & 0x7FFFFFFF) % count
