"""Fresh apps on a real Kafka, and what an admin can do to their topics."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaError

from sayiir_es.log.kafka.log import KafkaLog
from sayiir_es.log.port import NewRecord, Topic

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from sayiir_es.log.port import Reader, Record

_kafka = import_module("aiokafka")  # by name: it has no type hints
_admin = import_module("aiokafka.admin")

LIMIT_S = 20.0


@asynccontextmanager
async def opened(bootstrap: str, **settings: Any) -> AsyncGenerator[KafkaLog]:
    """An opened log of a fresh app, whose topics are deleted afterwards."""
    defaults: dict[str, Any] = {
        "app": f"t-{secrets.token_hex(4)}",
        "partitions": 2,
        "session_timeout_ms": 1000,
        "heartbeat_interval_ms": 200,
    }
    log = KafkaLog(bootstrap, **(defaults | settings))
    await log.open(create=True)
    try:
        yield log
    finally:
        await log.close()
        await delete_app(bootstrap, log.app)


async def delete_app(bootstrap: str, app: str) -> None:
    """Delete its topics as soon as there is a controller: a broker may be just back."""
    names = [f"{app}.{topic.value}" for topic in Topic]
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                async with admin(bootstrap) as client:
                    await client.delete_topics(names)
            except (KafkaError, AttributeError):  # aiokafka's, without a controller
                await asyncio.sleep(0.1)
            else:
                return


@asynccontextmanager
async def admin(bootstrap: str) -> AsyncGenerator[Any]:
    """An aiokafka admin client."""
    client: Any = _admin.AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await client.start()
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def producer(bootstrap: str, **settings: Any) -> AsyncGenerator[Any]:
    """A producer of another program."""
    client: Any = _kafka.AIOKafkaProducer(bootstrap_servers=bootstrap, **settings)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


def produce_by_librdkafka(bootstrap: str, topic: str, value: bytes, codec: str) -> None:
    """Write one record to partition 0 by another client, with an empty header."""
    settings = {"bootstrap.servers": bootstrap, "compression.type": codec}
    client: Any = import_module("confluent_kafka").Producer(settings)
    client.produce(topic, value, b"k", partition=0, headers=[("empty", None)])
    assert client.flush(LIMIT_S) == 0


async def make_topic(
    client: Any, name: str, partitions: int, settings: Mapping[str, str]
) -> None:
    """Make a topic without the app, when the old one of that name is deleted."""
    topic: Any = _admin.NewTopic(name, partitions, 1, topic_configs=dict(settings))
    codes: list[int] = []

    async def is_created() -> bool:
        response: Any = await client.create_topics([topic])
        codes.append(response.topic_errors[0][1])
        return codes[-1] == 0

    async with asyncio.timeout(LIMIT_S):
        while not await is_created():  # noqa: ASYNC110 - a broker's state
            await asyncio.sleep(0.05)


async def delete_topic(client: Any, name: str) -> None:
    """Delete a topic; returns when the broker no longer shows it."""
    await client.delete_topics([name])
    async with asyncio.timeout(LIMIT_S):
        while name in await client.list_topics():  # noqa: ASYNC110 - a broker's state
            await asyncio.sleep(0.02)


async def set_topic(client: Any, name: str, settings: Mapping[str, str]) -> None:
    """Replace all settings of a topic."""
    resource: Any = _admin.config_resource.ConfigResource(
        _admin.config_resource.ConfigResourceType.TOPIC, name, dict(settings)
    )
    await client.alter_configs([resource])
    # A broker answers before it has heard of them itself.
    asked: Any = _admin.config_resource.ConfigResource(
        _admin.config_resource.ConfigResourceType.TOPIC, name
    )

    async def is_heard() -> bool:
        (response, *_) = await client.describe_configs([asked])
        told = {entry[0]: entry[1] for entry in response.resources[0][4]}
        return all(told.get(key) == value for key, value in settings.items())

    async with asyncio.timeout(LIMIT_S):
        while not await is_heard():  # noqa: ASYNC110 - a broker's state
            await asyncio.sleep(0.05)


async def raise_partitions(client: Any, name: str, count: int) -> None:
    """Give a topic more partitions."""
    await client.create_partitions({name: _admin.NewPartitions(count)})

    async def is_heard() -> bool:
        (topic,) = await client.describe_topics([name])
        return len(topic["partitions"]) == count

    async with asyncio.timeout(LIMIT_S):
        while not await is_heard():  # noqa: ASYNC110 - a broker's state
            await asyncio.sleep(0.05)


async def drop_records(client: Any, name: str, partition: int, before: int) -> None:
    """Delete the records of a partition below an offset."""
    where = _kafka.TopicPartition(name, partition)
    await client.delete_records({where: _admin.RecordsToDelete(before_offset=before)})


async def until(condition: Callable[[], bool], *, limit_s: float = LIMIT_S) -> None:
    """Wait for a condition; fails after the limit."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - it is about anything, not one event
            await asyncio.sleep(0.005)


async def take(reader: Reader, count: int, *, limit_s: float = LIMIT_S) -> list[Record]:
    """Read until there are `count` records."""
    records: list[Record] = []
    async with asyncio.timeout(limit_s):
        while len(records) < count:
            chunk = await reader.read(max_wait_s=1)
            if chunk is not None:
                records += chunk.records
    return records


def record(value: bytes, key: bytes = b"i-1") -> NewRecord:
    """A record with one header."""
    return NewRecord(key=key, value=value, headers=(("claim", b"\x00" * 8),))
