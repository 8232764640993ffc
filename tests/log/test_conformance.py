"""Every log appends, produces, opens and closes alike."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import (
    AppNotFoundError,
    BatchTooLargeError,
    UncertainAppendError,
)
from sayiir_es.log.port import APP_TOPICS, Topic
from tests.log.conformance import (
    batch,
    open_log,
    read_all,
    read_records,
    record,
    values,
)

if TYPE_CHECKING:
    from tests.log.conformance import Subject


async def test_a_batch_is_written_whole_at_consecutive_offsets(
    subject: Subject,
) -> None:
    log = await open_log(subject)
    appender = await log.appender(0)
    assert await appender.append(batch("a", 3)) == 0
    assert await appender.append(batch("b", 2)) == 3
    assert await appender.append(batch("c", 1)) == 5
    assert await read_all(log) == [
        "a:0/3",
        "a:1/3",
        "a:2/3",
        "b:0/2",
        "b:1/2",
        "c:0/1",
    ]


async def test_a_displaced_owners_batch_shows_in_the_next_offset_of_the_rightful(
    subject: Subject,
) -> None:
    log = await open_log(subject)
    rightful, displaced = await log.appender(0), await log.appender(0)
    assert await rightful.append(batch("mine", 2)) == 0
    assert await displaced.append(batch("late", 3)) == 2
    assert await rightful.append(batch("mine", 1)) == 5
    assert [v[:4] for v in await read_all(log)] == [
        *("mine", "mine", "late", "late", "late", "mine")
    ]


async def test_batches_of_many_appenders_never_mix(subject: Subject) -> None:
    log = await open_log(subject)

    async def write(name: int) -> list[tuple[int, str]]:
        appender = await log.appender(0)
        names = [f"{name}.{i}" for i in range(8)]
        return [(await appender.append(batch(n, 3)), n) for n in names]

    bases_by_appender = await asyncio.gather(*(write(name) for name in range(5)))
    stored = await read_all(log)
    for base, name in sorted(pair for bases in bases_by_appender for pair in bases):
        assert stored[base : base + 3] == [f"{name}:{i}/3" for i in range(3)]
    assert len(stored) == 5 * 8 * 3


async def test_partitions_do_not_share_offsets(subject: Subject) -> None:
    log = await open_log(subject, partitions=2)
    assert log.partitions == 2
    first, second = await log.appender(0), await log.appender(1)
    assert await first.append(batch("a", 2)) == 0
    assert await second.append(batch("b", 1)) == 0
    assert await read_all(log, partition=0) == ["a:0/2", "a:1/2"]
    assert await read_all(log, partition=1) == ["b:0/1"]


async def test_a_batch_above_the_limit_is_refused_and_writes_nothing(
    subject: Subject,
) -> None:
    log = await open_log(subject)
    appender = await log.appender(0)
    half = log.max_batch_bytes // 2
    with pytest.raises(BatchTooLargeError):
        await appender.append([record(b"x" * half), record(b"x" * half)])
    assert await log.end_offset(Topic.EVENTS, 0) == 0
    assert await appender.append(batch("after", 1)) == 0


async def test_a_batch_just_below_the_limit_is_taken(subject: Subject) -> None:
    log = await open_log(subject)
    appender = await log.appender(0)
    half = log.max_batch_bytes // 2 - 100
    assert await appender.append([record(b"x" * half), record(b"y" * half)]) == 0
    reader = await log.reader(Topic.EVENTS, 0, 0)
    assert [one.value for one in await read_records(reader, 2)] == [
        b"x" * half,
        b"y" * half,
    ]


async def test_an_appender_has_one_batch_in_flight(subject: Subject) -> None:
    log = await open_log(subject)
    appender = await log.appender(0)
    first = asyncio.create_task(appender.append(batch("a", 1)))
    await asyncio.sleep(0)
    with pytest.raises(UncertainAppendError):
        await appender.append(batch("b", 1))
    assert await first == 0


async def test_an_appender_is_dead_after_an_append_that_was_cancelled(
    subject: Subject,
) -> None:
    log = await open_log(subject)
    appender = await log.appender(0)
    append = asyncio.create_task(appender.append(batch("a", 3)))
    await asyncio.sleep(0)
    append.cancel()
    await asyncio.gather(append, return_exceptions=True)
    with pytest.raises(UncertainAppendError):
        await appender.append(batch("b", 1))
    base = await (await log.appender(0)).append(batch("c", 1))
    assert base in {0, 3}  # whole or not at all


async def test_a_closed_appender_refuses(subject: Subject) -> None:
    log = await open_log(subject)
    appender = await log.appender(0)
    await appender.close()
    await appender.close()
    with pytest.raises(UncertainAppendError):
        await appender.append(batch("a", 1))
    assert await log.end_offset(Topic.EVENTS, 0) == 0


async def test_records_are_produced_to_every_topic_but_events(subject: Subject) -> None:
    log = await open_log(subject)
    await log.open_snapshots()
    await log.open_snapshots()
    for topic in (*APP_TOPICS, Topic.SNAPSHOTS):
        before = await log.end_offset(topic, 0)
        if topic is Topic.EVENTS:
            with pytest.raises(ValueError, match="events"):
                await log.produce(topic, 0, record(b"forged"))
            continue
        assert await log.produce(topic, 0, record(b"1")) == before
        assert await log.produce(topic, 0, record(b"2")) == before + 1
        reader = await log.reader(topic, 0, before)
        assert values(await read_records(reader, 2)) == ["1", "2"]


async def test_a_produced_record_above_the_limit_is_refused(subject: Subject) -> None:
    log = await open_log(subject)
    with pytest.raises(BatchTooLargeError):
        await log.produce(Topic.COMMANDS, 0, record(b"x" * log.max_batch_bytes * 2))
    assert await log.produce(Topic.COMMANDS, 0, record(b"after")) == 0


async def test_records_that_many_produce_at_once_are_there_once(
    subject: Subject,
) -> None:
    log = await open_log(subject)
    names = [str(number) for number in range(300)]
    offsets = await asyncio.gather(
        *(log.produce(Topic.COMMANDS, 0, record(name.encode())) for name in names)
    )
    assert sorted(offsets) == list(range(300))
    stored = await read_all(log, Topic.COMMANDS)
    assert [stored[offset] for offset in offsets] == names


async def test_a_start_offset_is_0_and_the_end_grows(subject: Subject) -> None:
    log = await open_log(subject)
    for topic in (Topic.COMMANDS, Topic.EVENTS):
        assert await log.start_offset(topic, 0) == 0
        assert await log.end_offset(topic, 0) == 0
    await log.produce(Topic.COMMANDS, 0, record(b"1"))
    await (await log.appender(0)).append(batch("a", 4))
    assert await log.end_offset(Topic.COMMANDS, 0) == 1
    assert await log.end_offset(Topic.EVENTS, 0) == 4
    assert await log.start_offset(Topic.EVENTS, 0) == 0


async def test_a_log_opened_again_is_the_same_and_holds_what_it_held(
    subject: Subject,
) -> None:
    log = subject.log(partitions=2)
    identity = await log.open(create=True)
    assert identity.partitions == 2
    assert set(identity.topics) == {topic.value for topic in APP_TOPICS}
    assert len(set(identity.topics.values())) == len(APP_TOPICS)
    await (await log.appender(1)).append(batch("a", 2))
    await log.close()
    again = subject.log(partitions=2)
    assert await again.open(create=False) == identity
    assert await read_all(again, partition=1) == ["a:0/2", "a:1/2"]
    assert await (await again.appender(1)).append(batch("b", 1)) == 2


async def test_a_log_that_nobody_made_is_not_made_by_a_reader(
    subject: Subject,
) -> None:
    with pytest.raises(AppNotFoundError):
        await subject.log().open(create=False)
    with pytest.raises(AppNotFoundError):
        await subject.log().open(create=False)


async def test_closing_twice_is_closing_once(subject: Subject) -> None:
    log = await open_log(subject)
    reader = await log.reader(Topic.EVENTS, 0, 0)
    await log.produce(Topic.COMMANDS, 0, record(b"1"))
    await reader.close()
    await reader.close()
    await log.close()
    await log.close()
