"""Keys go where Kafka's own producers put them."""

from __future__ import annotations

from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayiir_es.core.partitions import murmur2, partition_of

_theirs = import_module("aiokafka.partitioner")  # by name: it has no type hints


@pytest.mark.parametrize(
    ("key", "expected"),
    [  # the values of Kafka's own UtilsTest, as signed 32-bit numbers
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_hashes_are_those_of_java(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected & 0xFFFFFFFF


@given(st.binary(max_size=64), st.integers(min_value=1, max_value=500))
def test_partitions_are_those_of_aiokafka(key: bytes, count: int) -> None:
    place = _theirs.DefaultPartitioner()
    assert partition_of(key, count) == place(key, list(range(count)), [])
