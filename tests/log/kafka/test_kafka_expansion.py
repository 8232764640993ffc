"""A compressed batch is unpacked only where that takes a bounded number of bytes."""

from __future__ import annotations

import tracemalloc
from importlib import import_module

import pytest

from sayiir_es.log.kafka.completed_fetch import CompletedFetch
from sayiir_es.log.kafka.expansion import EXPANDED_BYTES_MAX, is_too_large
from sayiir_es.log.port import EXPANDS_HEADER

# By name: it has no type hints.
_batches = import_module("aiokafka.record.default_records")

CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
SMALL_LIMIT = 1_000_000


def packed(codec: str, size: int, *, base: int = 0) -> bytes:
    """A batch of one compressed record of so many bytes."""
    builder = _batches.DefaultRecordBatchBuilder(2, CODECS[codec], 0, 5, 0, 0, 1 << 30)
    builder.append(0, 1_000, b"k", bytes(size), [])
    return base.to_bytes(8, "big") + bytes(builder.build())[8:]


@pytest.mark.parametrize("codec", CODECS)
def test_it_is_found_out_how_far_a_batch_expands(codec: str) -> None:
    data = packed(codec, 10) + packed(codec, SMALL_LIMIT + 1, base=1)
    assert not is_too_large(data, 0, SMALL_LIMIT)
    assert is_too_large(data, 1, SMALL_LIMIT)
    assert not is_too_large(data, 1, 2 * SMALL_LIMIT)


@pytest.mark.parametrize("codec", ["gzip", "zstd", "lz4"])
def test_damaged_bytes_are_told_by_whoever_unpacks_them(codec: str) -> None:
    data = bytearray(packed(codec, SMALL_LIMIT + 1))
    data[70:] = bytes(len(data) - 70)
    assert not is_too_large(bytes(data), 0, SMALL_LIMIT)


@pytest.mark.parametrize("codec", CODECS)
def test_a_batch_that_expands_too_far_is_told_by_its_records(codec: str) -> None:
    data = packed(codec, EXPANDED_BYTES_MAX + 1) + packed(codec, 3, base=1)
    tracemalloc.start()
    fetch = CompletedFetch(0, data, None, compacted=False)
    first, second = fetch.take().records
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (first.offset, first.key, first.value) == (0, None, None)
    assert [name for name, _ in first.headers] == [EXPANDS_HEADER]
    assert (second.offset, second.value) == (1, bytes(3))
    assert peak < EXPANDED_BYTES_MAX + 8 * 1024 * 1024
