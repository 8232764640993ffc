"""The bytes of a fetch become chunks, batch by batch; needs no broker."""

from __future__ import annotations

import gzip
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayiir_es.core.model.errors import LogUnavailableError, OffsetGoneError
from sayiir_es.log.kafka import lenient_decoder
from sayiir_es.log.kafka.completed_fetch import CompletedFetch

if TYPE_CHECKING:
    from collections.abc import Callable

# By name: they have no type hints.
_codec = import_module("aiokafka.codec")
_batches = import_module("aiokafka.record.default_records")
_record_checksums = import_module("aiokafka.record.util")
_memory = import_module("aiokafka.record.memory_records")

Headers = list[tuple[str, bytes | None]]


def batch(base: int, *deltas: int) -> bytes:
    """Return a batch with a record at each offset `base` + delta."""
    builder = _batches.DefaultRecordBatchBuilder(2, 0, 0, 5, 0, 0, 1 << 20)
    for delta in deltas:
        builder.append(delta, 1_000 + delta, b"k", b"v", [("name", b"h")])
    return base.to_bytes(8, "big") + bytes(builder.build())[8:]


def with_checksum(data: bytes) -> bytes:
    total = int(_record_checksums.calc_crc32c(data[21:]))
    return data[:17] + total.to_bytes(4, "big") + data[21:]


def with_odd_name(data: bytes) -> bytes:
    return with_checksum(data.replace(b"name", b"n\xffme", 1))


def offsets(fetch: CompletedFetch) -> list[int]:
    return [record.offset for record in fetch.take().records]


def test_a_batch_that_begins_before_the_offset_is_taken_from_there() -> None:
    fetch = CompletedFetch(12, batch(10, 0, 1, 2, 3), None, compacted=False)
    chunk = fetch.take()
    assert [r.offset for r in chunk.records] == [12, 13]
    assert (chunk.start, chunk.end, chunk.gaps) == (12, 14, ())
    assert fetch.empty


def test_a_cut_batch_at_the_end_waits_for_the_next_fetch() -> None:
    data = batch(0, 0, 1) + batch(2, 0, 1)[:-3]
    fetch = CompletedFetch(0, data, None, compacted=False)
    assert offsets(fetch) == [0, 1]
    assert fetch.empty


@pytest.mark.parametrize(
    "data", [batch(0, 0, 2), batch(0, 0) + batch(2, 0), batch(1, 0)]
)
def test_a_hole_that_nothing_explains_is_lost_history(data: bytes) -> None:
    fetch = CompletedFetch(0, data, None, compacted=False)
    with pytest.raises(OffsetGoneError, match="says nothing of what stood between"):
        fetch.take()


def test_holes_of_a_compacted_topic_are_gaps() -> None:
    data = batch(1, 0, 2, 3) + batch(7, 0)
    chunk = CompletedFetch(0, data, None, compacted=True).take()
    assert [r.offset for r in chunk.records] == [1, 3, 4, 7]
    assert (chunk.end, chunk.gaps) == (8, ((0, 1), (2, 3), (5, 7)))


def test_damaged_bytes_are_an_error_and_not_skipped() -> None:
    data = bytearray(batch(0, 0))
    data[-1] ^= 1
    with pytest.raises(LogUnavailableError, match="checksum"):
        CompletedFetch(0, bytes(data), None, compacted=False).take()


def test_a_batch_that_does_not_unpack_is_a_typed_error() -> None:
    data = bytearray(batch(0, 0))
    data[22] |= 4  # zstd
    with pytest.raises(LogUnavailableError, match="expected to unpack the batch at 0"):
        CompletedFetch(0, with_checksum(bytes(data)), None, compacted=False).take()


CODECS: dict[int, Callable[[bytes], bytes]] = {0: bytes, 1: gzip.compress}
if _codec.has_snappy():
    CODECS[2] = _codec.snappy_encode
if _codec.has_lz4():
    CODECS[3] = _codec.lz4_encode
if _codec.has_zstd():
    CODECS[4] = _codec.zstd_encode


def compressed(data: bytes, number: int) -> bytes:
    """Return the same batch with its records compressed by a codec of Kafka's."""
    body = bytes(CODECS[number](data[61:]))
    length = (49 + len(body)).to_bytes(4, "big")
    flags = number.to_bytes(1, "big")
    return with_checksum(data[:8] + length + data[12:22] + flags + data[23:61] + body)


@pytest.mark.parametrize("number", CODECS)
def test_a_header_name_that_is_no_text_is_escaped_and_stops_nothing(
    number: int,
) -> None:
    data = compressed(with_odd_name(batch(3, 0, 1)), number) + batch(5, 0)
    chunk = CompletedFetch(3, data, None, compacted=False).take()
    assert [r.offset for r in chunk.records] == [3, 4, 5]
    assert chunk.records[0].headers == (("n\\xffme", b"h"),)
    assert chunk.records[1].headers == (("name", b"h"),)


headers = st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)))
texts = st.none() | st.binary(max_size=200)


@given(
    st.lists(st.tuples(texts, texts, headers), min_size=1),
    st.sampled_from(sorted(CODECS)),
)
def test_the_lenient_decoder_reads_what_aiokafka_reads(
    rows: list[tuple[bytes | None, bytes | None, Headers]], compression: int
) -> None:
    builder = _batches.DefaultRecordBatchBuilder(2, compression, 0, 5, 0, 0, 1 << 20)
    for index, (key, value, names) in enumerate(rows):
        builder.append(index, 1_000 - index, key, value, names)
    data = bytes(builder.build())
    theirs = [
        (r.offset, r.timestamp, r.key, r.value, r.headers)
        for r in _memory.MemoryRecords(data).next_batch()
    ]
    ours = [
        (r.offset, r.timestamp, r.key, r.value, r.headers)
        for r in lenient_decoder.records(data, 0)
    ]
    assert ours == theirs
