"""What the conformance suite of the log port is run against, and its words.

Each test of `test_conformance_*` takes a `subject`: a fresh app on one kind of log.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Protocol

from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic

if TYPE_CHECKING:
    from pathlib import Path

    from sayiir_es.log.port import Chunk, Log, Reader, Record

LIMIT_S = 20.0


class Subject(Protocol):
    """An app of a test's own, on one kind of log."""

    def log(self, *, partitions: int = 1) -> Log:
        """A log of the app that is not open yet; the fixture closes it."""
        ...

    async def drop_before(self, topic: Topic, partition: int, offset: int) -> None:
        """Take away what stands below an offset, as retention does."""
        ...


def record(value: bytes, key: bytes | None = b"i-1") -> NewRecord:
    """A record with one header, as an event has."""
    return NewRecord(key=key, value=value, headers=(("claim", b"\x00" * 8),))


def batch(name: str, size: int) -> list[NewRecord]:
    """Records whose values tell which of how many of which batch they are."""
    return [record(f"{name}:{i}/{size}".encode()) for i in range(size)]


def values(records: list[Record]) -> list[str]:
    """What the records carry, as text."""
    return [(record.value or b"").decode() for record in records]


async def opened(subject: Subject, *, partitions: int = 1) -> Log:
    """An open log of a fresh app."""
    log = subject.log(partitions=partitions)
    await log.open(create=True)
    return log


async def chunk_of(reader: Reader) -> Chunk:
    """The next chunk, which is there or about to come."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            chunk = await reader.read(max_wait_s=1)
            if chunk is not None:
                return chunk


async def take(reader: Reader, count: int) -> list[Record]:
    """Read until there are `count` records."""
    records: list[Record] = []
    while len(records) < count:
        records += (await chunk_of(reader)).records
    return records


async def whole(log: Log, topic: Topic = Topic.EVENTS, partition: int = 0) -> list[str]:
    """The values of all that a partition holds."""
    count = await log.end_offset(topic, partition)
    reader = await log.reader(topic, partition, 0)
    records = await take(reader, count)
    await reader.close()
    assert [one.offset for one in records] == list(range(count))
    return values(records)


class MemorySubject:
    """A log in memory: opening it again is sharing it."""

    def __init__(self) -> None:
        self._log: MemoryLog | None = None

    def log(self, *, partitions: int = 1) -> Log:
        """A log of the app that is not open yet."""
        if self._log is None:
            self._log = MemoryLog(partitions)
        return self._log

    async def drop_before(self, topic: Topic, partition: int, offset: int) -> None:
        """Take away what stands below an offset."""
        assert self._log is not None
        self._log.drop_before(topic, partition, offset)

    async def close(self) -> None:
        """Give all back."""


class EmbeddedSubject:
    """A log in a file of a test's own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._logs: list[Log] = []

    def log(self, *, partitions: int = 1) -> Log:
        """A log of the app that is not open yet."""
        log = EmbeddedLog(self._path, partitions=partitions)
        self._logs.append(log)
        return log

    async def drop_before(self, topic: Topic, partition: int, offset: int) -> None:
        """Take away what stands below an offset."""
        statement = (
            "DELETE FROM records WHERE topic = ? AND partition = ? AND offset < ?"
        )
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute(statement, (topic.value, partition, offset))

    async def close(self) -> None:
        """Give all back."""
        for log in self._logs:
            await log.close()


class KafkaSubject:
    """An app on a real Kafka, whose topics are deleted behind the test."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._app = f"t-{secrets.token_hex(4)}"
        self._logs: list[Log] = []

    def log(self, *, partitions: int = 1) -> Log:
        """A log of the app that is not open yet."""
        from sayiir_es.log.kafka.log import KafkaLog  # noqa: PLC0415 - slow to import

        log = KafkaLog(self._bootstrap, app=self._app, partitions=partitions)
        self._logs.append(log)
        return log

    async def drop_before(self, topic: Topic, partition: int, offset: int) -> None:
        """Take away what stands below an offset."""
        from tests import kafka_app  # noqa: PLC0415 - slow to import

        async with kafka_app.admin(self._bootstrap) as hands:
            name = f"{self._app}.{topic.value}"
            await kafka_app.drop_records(hands, name, partition, offset)

    async def close(self) -> None:
        """Give all back."""
        from tests import kafka_app  # noqa: PLC0415 - slow to import

        for log in self._logs:
            await log.close()
        async with kafka_app.admin(self._bootstrap) as hands:
            await hands.delete_topics([f"{self._app}.{t.value}" for t in Topic])
