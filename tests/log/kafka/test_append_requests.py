"""Appends of several partitions share requests, and none waits for another's broker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import UncertainAppendError
from sayiir_es.log.kafka import append_requests
from sayiir_es.log.kafka.append_requests import AT_ONCE_BYTES
from sayiir_es.log.kafka.appender import ProducerId, build_batch
from sayiir_es.log.kafka.connection import Cluster
from sayiir_es.log.kafka.connection_pool import ConnectionPool, NotSentError
from sayiir_es.log.kafka.produce_format import PRODUCE
from sayiir_es.log.port import NewRecord, Topic
from tests import kafka_app
from tests.kafka_app import record, take, until

if TYPE_CHECKING:
    from sayiir_es.log.kafka.log import KafkaLog
    from tests.broker import LocalBroker

pytestmark = pytest.mark.kafka

PARTITIONS = 4
LARGE = NewRecord(key=b"k", value=bytes(AT_ONCE_BYTES))


async def append_everywhere(log: KafkaLog, sent: NewRecord, rounds: int) -> int:
    """Append on all partitions at once; how many connections that took."""
    appenders = [await log.appender(number) for number in range(PARTITIONS)]
    for base in range(rounds):
        appends = [appender.append([sent]) for appender in appenders]
        assert await asyncio.gather(*appends) == [base] * PARTITIONS
    for appender in appenders:
        await appender.close()
    return log.appends.connections


async def test_small_batches_of_one_turn_leave_as_one_request(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap, partitions=PARTITIONS) as log:
        assert await append_everywhere(log, record(b"small"), rounds=20) == 1
        for partition in range(PARTITIONS):
            reader = await log.reader(Topic.EVENTS, partition, 0)
            assert len(await take(reader, 20)) == 20
            await reader.close()


async def test_large_batches_are_under_way_at_the_same_time(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap, partitions=PARTITIONS) as log:
        assert await append_everywhere(log, LARGE, rounds=3) == PARTITIONS


async def test_small_batches_wait_for_the_answer_of_a_request_that_just_left(
    local_broker: LocalBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(append_requests, "GATHER_S", 60.0)
    async with kafka_app.opened(local_broker.bootstrap, partitions=PARTITIONS) as log:
        appenders = [await log.appender(number) for number in range(PARTITIONS)]
        local_broker.pause(1)
        appends: list[asyncio.Task[int]] = []
        for appender in appenders:
            appends.append(asyncio.ensure_future(appender.append([record(b"a")])))
            await asyncio.sleep(0.01)  # the first one leaves; the others could
        local_broker.resume(1)
        assert await asyncio.gather(*appends) == [0] * PARTITIONS
        assert log.appends.connections == 1
        for appender in appenders:
            await appender.close()


async def test_what_is_produced_leaves_with_what_is_appended(
    local_broker: LocalBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(append_requests, "GATHER_S", 60.0)
    async with kafka_app.opened(local_broker.bootstrap) as log:
        first, second = await log.appender(0), await log.appender(1)
        assert await log.produce(Topic.COMMANDS, 0, record(b"its id is known now")) == 0
        local_broker.pause(1)
        works: list[asyncio.Task[int]] = []
        for work in (
            first.append([record(b"a")]),
            log.produce(Topic.COMMANDS, 0, record(b"b")),
            second.append([record(b"c")]),
        ):
            works.append(asyncio.ensure_future(work))
            await asyncio.sleep(0.01)  # the first one leaves; the others could
        local_broker.resume(1)
        assert await asyncio.gather(*works) == [0, 1, 0]
        assert log.appends.connections == 1
        await first.close()
        await second.close()


async def test_who_cannot_connect_hears_that_nothing_was_sent(
    local_broker: LocalBroker,
) -> None:
    cluster = Cluster(local_broker.bootstrap, {})
    await cluster.open()
    local_broker.kill(1)
    answers: list[memoryview | Exception] = []
    ConnectionPool(cluster).request(1, PRODUCE, [], answers.append)
    await until(lambda: bool(answers))
    assert isinstance(answers[0], NotSentError)
    await cluster.close()


async def test_a_batch_does_not_wait_for_a_broker_that_does_not_answer_soon(
    local_broker: LocalBroker,
) -> None:
    async with kafka_app.opened(local_broker.bootstrap) as log:
        slow, other = await log.appender(0), await log.appender(1)
        local_broker.pause(1)
        stuck = asyncio.ensure_future(slow.append([record(b"a")]))
        await asyncio.sleep(0.01)
        behind = asyncio.ensure_future(other.append([record(b"b")]))
        # A second connection cannot be opened to a broker that stands still, but begins
        # to be: the second batch is on its way, or waits no more.
        await asyncio.sleep(2 * append_requests.GATHER_S)
        local_broker.resume(1)
        assert [await stuck, await behind] == [0, 0]
        assert log.appends.connections == 2
        await slow.close()
        await other.close()


async def test_appenders_of_one_partition_may_append_in_one_turn(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        before, after = await log.appender(0), await log.appender(0)
        bases = await asyncio.gather(
            before.append([record(b"a")]), after.append([record(b"b")])
        )
        assert sorted(bases) == [0, 1]
        await before.close()
        await after.close()


async def test_a_batch_that_is_given_up_before_it_was_sent_is_never_sent(
    kafka_bootstrap: str,
) -> None:
    async with kafka_app.opened(kafka_bootstrap) as log:
        appender = await log.appender(0)
        data = build_batch(
            [record(b"given up")],
            ProducerId(appender.producer_id, 0),
            0,
            max_message_bytes=10_000,
            name="events 0",
        )
        partition = appender.partition
        answer = log.appends.append(partition, data, again=False)
        answer.cancel()
        other = await log.appender(1)
        assert await other.append([record(b"in the same turn")]) == 0
        assert await log.end_offset(Topic.EVENTS, 0) == 0
        assert await appender.append([record(b"sent")]) == 0
        await appender.close()
        await other.close()


@pytest.mark.parametrize("what", ["appender", "log"])
async def test_who_closes_ends_what_is_under_way(
    local_broker: LocalBroker, what: str
) -> None:
    async with kafka_app.opened(local_broker.bootstrap) as log:
        appender = await log.appender(0)
        assert await appender.append([record(b"a")]) == 0
        local_broker.pause(1)
        under_way = asyncio.ensure_future(appender.append([record(b"b")]))
        done, _ = await asyncio.wait([under_way], timeout=0.1)
        assert not done
        await (appender if what == "appender" else log).close()
        try:
            async with asyncio.timeout(5):
                with pytest.raises(UncertainAppendError):
                    await under_way
        finally:
            local_broker.resume(1)
