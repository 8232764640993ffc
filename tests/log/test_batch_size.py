"""Sizes are counted as the logs count them: never less, and hardly more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from sayiir_es.core.model.errors import BatchTooLargeError
from sayiir_es.core.model.record_size import event_bytes, varint_bytes
from sayiir_es.engine.owner.tenure import to_record
from sayiir_es.log.batch_size import (
    MAX_BATCH_BYTES,
    batch_bytes,
    bytes_in_batch,
    check_batch,
)
from sayiir_es.log.kafka.appender import batch_limit
from sayiir_es.log.port import NewRecord
from tests.wire.examples import EVENT_SCHEMAS, EVENTS, event_of
from tests.wire.values import PATIENT, record_values

if TYPE_CHECKING:
    from sayiir_es.core.model.events import Event

SIZES = st.sampled_from([0, 1, 55, 63, 64, 200, 8191, 8192, 9000, 1_048_575, 1_048_576])


def long_name(text: str) -> str:
    """A name of up to 66 characters."""
    return text * 22


NAMES = st.builds(long_name, st.text(max_size=3))
HEADERS = st.lists(st.tuples(NAMES, SIZES.map(bytes)), max_size=3).map(tuple)
DATA = st.none() | SIZES.map(bytes)
RECORDS = st.builds(NewRecord, key=DATA, value=DATA, headers=HEADERS)
BATCH_HEADER_BYTES = 61
DELTA_BYTES = 2
"""What the longest form of an offset's delta has more than the shortest."""


@st.composite
def events(draw: st.DrawFn) -> Event:
    schema = EVENT_SCHEMAS[draw(st.sampled_from(sorted(EVENT_SCHEMAS)))]
    return event_of(schema, draw(record_values(schema)))


def kafka_bytes(batch: list[NewRecord], limit: int = 1 << 30) -> int | None:
    """What Kafka's client writes of a batch; None if a record does not fit."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, 7, 0, 0, limit)
    append: Any = builder.append
    for offset, record in enumerate(batch):
        args = (offset, 1_700_000_000_000, record.key, record.value)
        if append(*args, list(record.headers)) is None:
            return None
    return len(builder.build())


@given(st.lists(RECORDS, min_size=1, max_size=5))
@settings(PATIENT, max_examples=150)
def test_a_batch_is_never_larger_than_its_records_say_and_hardly_smaller(
    batch: list[NewRecord],
) -> None:
    written = kafka_bytes(batch)
    assert written is not None
    counted = BATCH_HEADER_BYTES + batch_bytes(batch)
    # Where a length of 63 bytes, or of 8,191, is told: one more for the length itself.
    assert written <= counted <= written + (DELTA_BYTES + 1) * len(batch)


@given(st.lists(RECORDS, min_size=1, max_size=5))
@settings(PATIENT, max_examples=100)
def test_what_fits_by_its_count_fits_kafkas_batch(batch: list[NewRecord]) -> None:
    limit = BATCH_HEADER_BYTES + batch_bytes(batch)
    assert batch_limit(limit) == batch_bytes(batch)
    assert kafka_bytes(batch, limit) is not None


@pytest.mark.parametrize("count", [1, 64, 8192, 20_000])
def test_any_place_in_a_batch_is_counted(count: int) -> None:
    batch = [NewRecord(key=None, value=b"")] * count
    written = kafka_bytes(batch)
    assert written is not None
    assert written <= BATCH_HEADER_BYTES + batch_bytes(batch)


@given(events())
@settings(PATIENT, max_examples=500)
def test_an_event_has_the_size_of_its_record(event: Event) -> None:
    assert event_bytes(event) == bytes_in_batch(to_record(event))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_every_kind_has_the_size_of_its_record(event: Event) -> None:
    assert event_bytes(event) == bytes_in_batch(to_record(event))


@pytest.mark.parametrize(
    ("number", "size"),
    [
        *((0, 1), (63, 1), (64, 2), (-64, 1), (-65, 2), (8191, 2), (8192, 3)),
        *((2**63 - 1, 10), (-(2**63), 10)),
    ],
)
def test_integers_take_seven_bits_a_byte(number: int, size: int) -> None:
    assert varint_bytes(number) == size


def test_a_local_log_takes_what_is_counted_and_not_one_byte_more() -> None:
    beside = bytes_in_batch(NewRecord(key=b"k", value=b"x" * 100_000)) - 100_000
    value = b"x" * (MAX_BATCH_BYTES - beside)
    check_batch([NewRecord(key=b"k", value=value)])
    with pytest.raises(BatchTooLargeError, match="900001"):
        check_batch([NewRecord(key=b"k", value=value + b"x")])
