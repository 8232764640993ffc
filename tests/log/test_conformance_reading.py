"""Every log returns what was written, in order, also to waiting readers."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import OffsetGoneError
from sayiir_es.log.port import Chunk, NewRecord, TimeIndex, Topic
from tests.log.conformance import (
    LIMIT_S,
    batch,
    open_log,
    read_chunk,
    read_records,
    values,
)

if TYPE_CHECKING:
    from tests.log.conformance import Subject


async def test_keys_values_and_headers_come_back_as_they_were(subject: Subject) -> None:
    log = await open_log(subject)
    every_byte = bytes(range(256))
    headers = (("b", b"1"), ("a", every_byte), ("b", b""), ("\u00e4/\u20ac", b"2"))
    new_records = [
        NewRecord(key=None, value=None),
        NewRecord(key=b"", value=b""),
        NewRecord(key=every_byte, value=every_byte[::-1], headers=headers),
    ]
    await (await log.appender(0)).append(new_records)
    reader = await log.reader(Topic.EVENTS, 0, 0)
    records = await read_records(reader, 3)
    assert [
        NewRecord(key=one.key, value=one.value, headers=one.headers) for one in records
    ] == new_records


async def test_a_record_says_when_it_was_written(subject: Subject) -> None:
    log = await open_log(subject)
    await (await log.appender(0)).append(batch("a", 1))
    (record,) = await read_records(await log.reader(Topic.EVENTS, 0, 0), 1)
    assert abs(record.timestamp_ms - time.time_ns() // 1_000_000) < 60_000


async def test_a_log_that_knows_times_finds_the_first_record_of_one(
    subject: Subject,
) -> None:
    log = await open_log(subject)
    await (await log.appender(0)).append(batch("a", 5))
    if not isinstance(log, TimeIndex):
        return  # such as a log that finds the events of one instance
    (first,) = (await read_records(await log.reader(Topic.EVENTS, 0, 0), 5))[:1]
    assert await log.offset_at(Topic.EVENTS, 0, -5) == 0
    assert await log.offset_at(Topic.EVENTS, 0, first.timestamp_ms) == 0
    later_ms = first.timestamp_ms + 3_600_000
    assert await log.offset_at(Topic.EVENTS, 0, later_ms) == 5


async def test_a_reader_begins_at_its_offset(subject: Subject) -> None:
    log = await open_log(subject)
    await (await log.appender(0)).append(batch("a", 5))
    reader = await log.reader(Topic.EVENTS, 0, 3)
    chunk = await read_chunk(reader)
    assert (chunk.start, chunk.records[0].offset) == (3, 3)
    assert values(list(chunk.records)) == ["a:3/5", "a:4/5"]


async def test_chunks_follow_one_another_without_a_hole(subject: Subject) -> None:
    log = await open_log(subject)
    appender = await log.appender(0)
    sizes = [700, 1, 1_300, 2, 1_500]
    for number, size in enumerate(sizes):
        await appender.append(batch(str(number), size))
    reader = await log.reader(Topic.EVENTS, 0, 0)
    at, chunks = 0, 0
    while at < sum(sizes):
        chunk = await read_chunk(reader)
        assert chunk.start == at
        assert [one.offset for one in chunk.records] == list(range(at, chunk.end))
        assert not chunk.gaps
        at, chunks = chunk.end, chunks + 1
    assert at == sum(sizes)
    assert chunks > 1


async def test_a_waiting_reader_has_a_new_record_before_its_wait_ends(
    subject: Subject,
) -> None:
    log = await open_log(subject)
    appender = await log.appender(0)
    reader = await log.reader(Topic.EVENTS, 0, 0)
    assert await reader.read(max_wait_s=0.05) is None  # it has begun to wait
    for number in range(3):
        reading = asyncio.create_task(reader.read(max_wait_s=LIMIT_S))
        await asyncio.sleep(0)
        await appender.append(batch(str(number), 1))
        chunk = await reading
        assert chunk is not None, "it was not woken"
        assert values(list(chunk.records)) == [f"{number}:0/1"]


async def test_a_reader_at_the_end_gets_nothing_after_its_wait_and_goes_on(
    subject: Subject,
) -> None:
    log = await open_log(subject)
    appender = await log.appender(0)
    await appender.append(batch("a", 2))
    reader = await log.reader(Topic.EVENTS, 0, 0)
    await read_records(reader, 2)
    began_s = time.monotonic()
    async with asyncio.timeout(LIMIT_S):
        assert await reader.read(max_wait_s=0.2) is None
    assert time.monotonic() - began_s > 0.15
    await appender.append(batch("b", 1))
    assert (await read_chunk(reader)).start == 2


async def test_a_cancelled_read_loses_nothing(subject: Subject) -> None:
    log = await open_log(subject)
    reader = await log.reader(Topic.EVENTS, 0, 0)
    reading = asyncio.create_task(reader.read(max_wait_s=LIMIT_S))
    await asyncio.wait([reading], timeout=0.05)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await (await log.appender(0)).append(batch("a", 2))
    assert values(await read_records(reader, 2)) == ["a:0/2", "a:1/2"]
    await reader.close()


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 50, 200, 1_000])
async def test_a_read_that_is_cancelled_on_its_way_loses_nothing(
    subject: Subject, turns: int
) -> None:
    log = await open_log(subject)
    await (await log.appender(0)).append(batch("a", 2))
    reader = await log.reader(Topic.EVENTS, 0, 0)
    reading = asyncio.create_task(reader.read(max_wait_s=LIMIT_S))
    for _ in range(turns):
        await asyncio.sleep(0)
    reading.cancel()
    (early,) = await asyncio.gather(reading, return_exceptions=True)
    if isinstance(early, asyncio.CancelledError):
        records = await read_records(reader, 2)
    else:  # it came before the cancel
        assert isinstance(early, Chunk)
        records = list(early.records)
        assert await reader.read(max_wait_s=0.05) is None
    assert values(records) == ["a:0/2", "a:1/2"]
    await reader.close()


async def test_a_reader_below_the_first_kept_offset_gets_an_error(
    subject: Subject,
) -> None:
    log = await open_log(subject)
    await (await log.appender(0)).append(batch("a", 5))
    await subject.drop_before(Topic.EVENTS, 0, 3)
    assert await log.start_offset(Topic.EVENTS, 0) == 3
    assert await log.end_offset(Topic.EVENTS, 0) == 5
    reader = await log.reader(Topic.EVENTS, 0, 2)
    with pytest.raises(OffsetGoneError):
        await read_chunk(reader)
    await reader.close()
    second_reader = await log.reader(Topic.EVENTS, 0, 3)
    assert values(await read_records(second_reader, 2)) == ["a:3/5", "a:4/5"]


async def test_a_reader_above_the_end_gets_an_error(subject: Subject) -> None:
    log = await open_log(subject)
    await (await log.appender(0)).append(batch("a", 2))
    reader = await log.reader(Topic.EVENTS, 0, 3)
    with pytest.raises(OffsetGoneError):
        await read_chunk(reader)
    await reader.close()
