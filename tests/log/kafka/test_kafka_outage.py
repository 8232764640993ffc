"""What a stopped or frozen broker does to appends, reads and produced records."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import LogUnavailableError, UncertainAppendError
from sayiir_es.log.port import Topic
from tests import kafka_app
from tests.kafka_app import record, take, until

if TYPE_CHECKING:
    from tests.broker import LocalBroker

pytestmark = pytest.mark.kafka


async def test_an_append_survives_the_death_and_return_of_the_broker(
    local_broker: LocalBroker,
) -> None:
    async with kafka_app.opened(local_broker.bootstrap) as log:
        appender = await log.appender(0)
        reader = await log.reader(Topic.EVENTS, 0, 0)
        assert await appender.append([record(b"before")]) == 0
        local_broker.kill(1)
        append = asyncio.ensure_future(appender.append([record(b"during")] * 3))
        produce = asyncio.ensure_future(log.produce(Topic.COMMANDS, 0, record(b"c")))
        local_broker.launch(1)
        await until(lambda: local_broker.serves(1))
        assert await append == 1
        assert await produce == 0
        assert await appender.append([record(b"after")]) == 4
        values = [r.value for r in await take(reader, 5)]
        assert values == [b"before", *[b"during"] * 3, b"after"]
        await reader.close()
        await appender.close()


async def test_a_first_record_is_given_up_while_no_broker_is_there(
    local_broker: LocalBroker,
) -> None:
    async with kafka_app.opened(local_broker.bootstrap, produce_limit_s=2.0) as log:
        local_broker.kill(1)
        async with asyncio.timeout(20):
            with pytest.raises(LogUnavailableError, match="expected an answer"):
                await log.produce(Topic.COMMANDS, 0, record(b"first"))
        local_broker.launch(1)
        await until(lambda: local_broker.serves(1))
        assert await log.produce(Topic.COMMANDS, 0, record(b"later")) >= 0


async def test_an_append_that_was_sent_before_the_death_is_written_once(
    local_broker: LocalBroker,
) -> None:
    async with kafka_app.opened(local_broker.bootstrap) as log:
        appender = await log.appender(0)
        acked: list[int] = []

        async def append_on() -> None:
            while True:
                acked.append(await appender.append([record(b"%d" % len(acked))]))

        task = asyncio.ensure_future(append_on())
        await until(lambda: len(acked) > 50)
        local_broker.kill(1)
        before = len(acked)
        local_broker.launch(1)
        await until(lambda: len(acked) > before + 50)
        task.cancel()
        await asyncio.wait([task])
        assert acked == list(range(len(acked)))
        reader = await log.reader(Topic.EVENTS, 0, 0)
        records = await take(reader, len(acked))
        values = [r.value for r in records[: len(acked)]]
        assert values == [b"%d" % i for i in range(len(acked))]
        await reader.close()
        await appender.close()


async def test_a_batch_whose_appender_gave_up_may_land_later(
    local_broker: LocalBroker,
) -> None:
    async with kafka_app.opened(local_broker.bootstrap, append_limit_s=0.5) as log:
        appender = await log.appender(0)
        await appender.append([record(b"first")])
        local_broker.pause(1)
        with pytest.raises(UncertainAppendError, match=r"in 0 s|in 1 s"):
            await appender.append([record(b"late")])
        async with asyncio.timeout(5):  # the broker stands still for longer
            await appender.close()
        local_broker.resume(1)
        reader = await log.reader(Topic.EVENTS, 0, 1)
        assert [r.value for r in await take(reader, 1)] == [b"late"]
        fresh = await log.appender(0)
        assert await fresh.append([record(b"of the next claim")]) == 2
        await reader.close()
        await fresh.close()


async def test_a_record_that_is_not_acknowledged_fails_and_the_next_is_sent(
    local_broker: LocalBroker,
) -> None:
    async with kafka_app.opened(local_broker.bootstrap, produce_limit_s=0.5) as log:
        await log.produce(Topic.COMMANDS, 0, record(b"a"))
        local_broker.pause(1)
        results = await asyncio.gather(
            *(log.produce(Topic.COMMANDS, 0, record(b"b")) for _ in range(3)),
            return_exceptions=True,
        )
        local_broker.resume(1)
        assert {type(result) for result in results} == {LogUnavailableError}, results
        offset = await log.produce(Topic.COMMANDS, 0, record(b"c"))
        assert 1 <= offset <= 4
    with pytest.raises(LogUnavailableError):
        await log.produce(Topic.COMMANDS, 0, record(b"d"))


async def test_the_loss_of_one_of_three_brokers_costs_no_append(
    local_cluster: LocalBroker,
) -> None:
    settings = {"partitions": 3}
    async with kafka_app.opened(local_cluster.bootstrap, **settings) as log:
        assert log.warnings == ()
        appenders = [await log.appender(p) for p in range(3)]
        acked: list[list[int]] = [[], [], []]

        async def append_on(partition: int) -> None:
            while True:
                base = await appenders[partition].append([record(b"x")])
                acked[partition].append(base)

        tasks = [asyncio.ensure_future(append_on(p)) for p in range(3)]
        await until(lambda: min(map(len, acked)) > 20)
        local_cluster.kill(2)
        before = [len(a) for a in acked]
        await until(
            lambda: all(len(a) > b + 20 for a, b in zip(acked, before, strict=True))
        )
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(a == list(range(len(a))) for a in acked)
        for appender in appenders:
            await appender.close()
