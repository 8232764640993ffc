"""Brokers that come back elsewhere are found by the names that were given."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from sayiir_es.log.kafka.log import KafkaLog
from sayiir_es.log.kafka.membership import KafkaMembership
from sayiir_es.log.port import Topic
from tests.broker import LocalBroker
from tests.captured_logs import capture_logs
from tests.kafka_app import record, take, until

pytestmark = pytest.mark.kafka

FOUND_S = 60.0
ZERO = frozenset({0})


class Name:
    """A fixed address that leads to a broker, as a name in DNS does."""

    def __init__(self, broker: LocalBroker) -> None:
        self._broker = broker
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def lead_to(self, broker: LocalBroker) -> None:
        """Lead to another one from now on."""
        self._broker = broker

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        host, port = self._broker.addresses[0]
        try:
            there = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()
            return
        for source, target in ((reader, there[1]), (there[0], writer)):
            task = asyncio.create_task(_copy(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
    target.close()


async def test_everything_goes_on_when_all_brokers_have_other_addresses(
    local_broker: LocalBroker,
) -> None:
    async with Name(local_broker) as address:
        log = KafkaLog(
            address,
            app="moved",
            partitions=1,
            session_timeout_ms=1000,
            heartbeat_interval_ms=200,
        )
        await log.open(create=True)
        member = KafkaMembership(log)
        await member.join()
        appender = await log.appender(0)
        reader = await log.reader(Topic.EVENTS, 0, 0)
        await appender.append([record(b"before")])
        assert [r.value for r in await take(reader, 1)] == [b"before"]
        lapses = member.current().lapses

        local_broker.kill(1)
        local_broker.move()
        await asyncio.to_thread(local_broker.start)

        began_s = time.monotonic()
        assert await appender.append([record(b"after")]) == 1
        assert [r.value for r in await take(reader, 1, limit_s=FOUND_S)] == [b"after"]
        assert await log.produce(Topic.COMMANDS, 0, record(b"command")) == 0
        await until(
            lambda: (
                member.current().fresh_at_s > began_s
                and member.current().partitions == ZERO
            ),
            limit_s=FOUND_S,
        )
        assert member.current().lapses > lapses
        assert time.monotonic() - began_s < FOUND_S
        await appender.close()
        await reader.close()
        await member.leave()
        await log.close()


async def test_another_cluster_behind_the_name_is_not_taken_for_the_old_one(
    local_broker: LocalBroker,
) -> None:
    name = Name(local_broker)
    async with name as address:
        log = KafkaLog(address, app="moved", partitions=1)
        await log.open(create=True)
        reader = await log.reader(Topic.EVENTS, 0, 0)
        local_broker.kill(1)
        with LocalBroker() as other:
            copy = KafkaLog(other.bootstrap, app="moved", partitions=1)
            await copy.open(create=True)
            appender = await copy.appender(0)
            await appender.append([record(b"of another cluster")])
            await appender.close()
            await copy.close()
            name.lead_to(other)
            with capture_logs() as lines:
                async with asyncio.timeout(FOUND_S):
                    while not any(x["event"] == "log.cluster_refused" for x in lines):
                        assert await reader.read(max_wait_s=0.2) is None
        await reader.close()
        await log.close()
