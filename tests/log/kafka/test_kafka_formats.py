"""Requests have the bytes that aiokafka gives them, and answers are read as it does."""

from __future__ import annotations

import struct
from importlib import import_module
from typing import Any

import pytest
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from sayiir_es.log.kafka.fetch_format import (
    FetchAnswer,
    FetchLimits,
    decode_fetch,
    encode_fetch,
)
from sayiir_es.log.kafka.produce_format import (
    AppendAnswer,
    decode_produce,
    encode_produce,
)

_produce: Any = import_module("aiokafka.protocol.produce")  # it has no type hints
_fetch: Any = import_module("aiokafka.protocol.fetch")

NUMBER = struct.pack(">i", 7)
"""The number of a request, with which each answer begins."""

partitions = st.builds(
    TopicPartition, st.sampled_from(["a", "b.événements", "c"]), st.integers(0, 9)
)
int64 = st.integers(-(2**63), 2**63 - 1)
codes = st.integers(-1, 100)


def by_topic(entries: dict[TopicPartition, Any]) -> list[tuple[str, list[Any]]]:
    topics: dict[str, list[Any]] = {}
    for (topic, number), entry in entries.items():
        topics.setdefault(topic, []).append((number, *entry))
    return [*topics.items()]


@given(st.dictionaries(partitions, st.binary(max_size=50)))
def test_a_produce_request_has_the_bytes_of_aiokafka(
    batches: dict[TopicPartition, bytes],
) -> None:
    topics = by_topic({where: (data,) for where, data in batches.items()})
    theirs = _produce.ProduceRequest_v7(None, -1, 10_000, topics).encode()
    assert b"".join(encode_produce(batches.items(), 10_000)) == theirs


@given(st.dictionaries(partitions, st.tuples(codes, int64, int64, int64)))
def test_the_answer_to_a_produce_request_is_read(
    entries: dict[TopicPartition, tuple[int, int, int, int]],
) -> None:
    answer = _produce.ProduceResponse_v7(by_topic(entries), 0).encode()
    assert decode_produce(memoryview(NUMBER + answer)) == {
        where: AppendAnswer(code, base) for where, (code, base, *_) in entries.items()
    }


@given(st.dictionaries(partitions, int64), st.sampled_from([0, 1]))
def test_a_fetch_request_has_the_bytes_of_aiokafka(
    offsets: dict[TopicPartition, int], isolation: int
) -> None:
    topics = by_topic({where: (offset, 3_000) for where, offset in offsets.items()})
    theirs = _fetch.FetchRequest(500, 1, 2_000, isolation, topics)
    ours = encode_fetch(offsets.items(), isolation, FetchLimits(500, 2_000, 3_000))
    assert b"".join(ours) == theirs.build(_fetch.FetchRequest_v11).encode()


aborted = st.none() | st.lists(st.tuples(int64, int64), max_size=3)
records = st.none() | st.binary(max_size=50)


@given(st.dictionaries(partitions, st.tuples(codes, aborted, records)))
def test_the_answer_to_a_fetch_request_is_read(
    entries: dict[TopicPartition, tuple[int, Any, bytes | None]],
) -> None:
    topics = by_topic(
        {
            where: (code, 5, 4, 0, list_, -1, data)
            for where, (code, list_, data) in entries.items()
        }
    )
    answer = _fetch.FetchResponse_v11(0, 0, 0, topics).encode()
    assert decode_fetch(memoryview(NUMBER + answer)) == {
        where: FetchAnswer(code, list_ or [], data or b"")
        for where, (code, list_, data) in entries.items()
    }


@pytest.mark.parametrize("decode", [decode_produce, decode_fetch])
def test_an_answer_that_is_cut_off_is_an_error(decode: Any) -> None:
    topics = [("a", [(0, 0, 5, 4, 0)])]
    answer = _produce.ProduceResponse_v7(topics, 0).encode()
    with pytest.raises((struct.error, UnicodeDecodeError)):
        decode(memoryview(NUMBER + answer[:12]))
