"""Readers share the requests to their broker, and none waits for another's records."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiokafka.structs import TopicPartition

from sayiir_es.log.kafka.fetch_format import FetchAnswer
from sayiir_es.log.kafka.fetch_requests import HELD_MS
from sayiir_es.log.kafka.reader import LARGE_BYTES
from sayiir_es.log.port import NewRecord, Topic
from tests import kafka_app
from tests.kafka_app import record, take, until

if TYPE_CHECKING:
    from sayiir_es.log.kafka.log import KafkaLog
    from sayiir_es.log.port import Reader

pytestmark = pytest.mark.kafka

PARTITIONS = 4
HELD_S = HELD_MS / 1000


async def readers_of(log: KafkaLog) -> list[Reader]:
    return [await log.reader(Topic.EVENTS, number, 0) for number in range(PARTITIONS)]


async def close(*readers: Reader) -> None:
    for reader in readers:
        await reader.close()


async def test_readers_share_the_requests_to_a_broker(kafka_bootstrap: str) -> None:
    async with kafka_app.opened(kafka_bootstrap, partitions=PARTITIONS) as log:
        readers = await readers_of(log)
        reads = [reader.read(max_wait_s=2 * HELD_S) for reader in readers]
        assert await asyncio.gather(*reads) == [None] * PARTITIONS
        assert log.fetches.connections == 1
        await close(*readers)


async def test_each_reader_has_the_records_of_its_partition(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap, partitions=PARTITIONS) as log:
        readers = await readers_of(log)
        appenders = [await log.appender(number) for number in range(PARTITIONS)]
        for round_ in range(20):
            values = [b"%d of %d" % (round_, number) for number in range(PARTITIONS)]
            appends = [
                appender.append([record(value)])
                for appender, value in zip(appenders, values, strict=True)
            ]
            await asyncio.gather(*appends)
            taken = await asyncio.gather(*(take(reader, 1) for reader in readers))
            assert [[one.value for one in some] for some in taken] == [
                [value] for value in values
            ]
        for appender in appenders:
            await appender.close()
        await close(*readers)


async def test_two_readers_of_one_partition_have_the_same_records(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        readers = [await log.reader(Topic.EVENTS, 0, 0) for _ in range(2)]
        reads = [asyncio.ensure_future(take(reader, 3)) for reader in readers]
        appender = await log.appender(0)
        for value in (b"a", b"b", b"c"):
            await appender.append([record(value)])
        first, second = await asyncio.gather(*reads)
        assert [one.value for one in first] == [b"a", b"b", b"c"]
        assert first == second
        await appender.close()
        await close(*readers)


@pytest.mark.parametrize("alone", [False, True])
async def test_who_is_far_behind_asks_alone(
    kafka_bootstrap: str, *, alone: bool
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        fetched: list[FetchAnswer | Exception] = []
        for number in range(2):
            where = TopicPartition(log.name(Topic.EVENTS), number)
            is_alone = alone and number == 1
            log.fetches.fetch(where, 0, fetched.append, alone=is_alone)
        for number in range(2):
            appender = await log.appender(number)
            await appender.append([record(b"a")])
            await appender.close()
        await until(lambda: len(fetched) == 2)
        assert all(isinstance(one, FetchAnswer) and one.data for one in fetched)
        assert log.fetches.connections == 1 + alone


async def test_a_reader_catches_up_with_what_does_not_fit_one_answer(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        appender = await log.appender(0)
        for _ in range(20):
            await appender.append([NewRecord(key=b"k", value=bytes(LARGE_BYTES))])
        reader = await log.reader(Topic.EVENTS, 0, 0)
        assert [one.offset for one in await take(reader, 20)] == [*range(20)]
        await appender.append([record(b"the end")])
        assert [one.value for one in await take(reader, 1)] == [b"the end"]
        await appender.close()
        await reader.close()


async def test_a_reader_that_is_closed_takes_nothing_from_the_others(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        closed, other = [await log.reader(Topic.EVENTS, n, 0) for n in range(2)]
        assert await closed.read(max_wait_s=0.01) is None
        read = asyncio.ensure_future(take(other, 1))
        await asyncio.sleep(0)
        await closed.close()
        for number in range(2):
            appender = await log.appender(number)
            await appender.append([record(b"%d" % number)])
            await appender.close()
        assert [one.value for one in await read] == [b"1"]
        await other.close()


async def test_who_closes_the_log_ends_what_is_read(kafka_bootstrap: str) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        reader = await log.reader(Topic.EVENTS, 0, 0)
        assert await reader.read(max_wait_s=0.01) is None
        await reader.close()
        log.fetches.close()
        assert log.fetches.connections == 0
