"""The logs that the conformance suite of the log port tests, and its test data.

Each test of `test_conformance_*` takes a `subject`: a fresh app on one kind of log.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Protocol

from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.embedded.tables import read_bounds, write_bounds
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from tests.simulation.chance import Chance
from tests.simulation.log import SimLog

if TYPE_CHECKING:
    from pathlib import Path

    from sayiir_es.log.port import Chunk, Log, Reader, Record

LIMIT_S = 20.0

WHOLE_BATCHES_SEED = 1
"""A seed whose processes may send batches as large as their log takes."""


class Subject(Protocol):
    """An app of one test, on one kind of log."""

    def log(self, *, partitions: int = 1) -> Log:
        """Return a log of the app, not open yet; the fixture closes it."""
        ...

    async def drop_before(self, topic: Topic, partition: int, offset: int) -> None:
        """Delete the records below an offset, as retention does."""
        ...


def record(value: bytes, key: bytes | None = b"i-1") -> NewRecord:
    """Return a record with one header, as an event has."""
    return NewRecord(key=key, value=value, headers=(("claim", b"\x00" * 8),))


def batch(name: str, size: int) -> list[NewRecord]:
    """Return records whose values are `name:index/size`."""
    return [record(f"{name}:{i}/{size}".encode()) for i in range(size)]


def values(records: list[Record]) -> list[str]:
    """Return the values of records, as text."""
    return [(record.value or b"").decode() for record in records]


async def open_log(subject: Subject, *, partitions: int = 1) -> Log:
    """Open a log of a fresh app."""
    log = subject.log(partitions=partitions)
    await log.open(create=True)
    return log


async def read_chunk(reader: Reader) -> Chunk:
    """Read the next chunk, which is there or about to come."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            chunk = await reader.read(max_wait_s=1)
            if chunk is not None:
                return chunk


async def read_records(reader: Reader, count: int) -> list[Record]:
    """Read until there are `count` records."""
    records: list[Record] = []
    while len(records) < count:
        records += (await read_chunk(reader)).records
    return records


async def read_all(
    log: Log, topic: Topic = Topic.EVENTS, partition: int = 0
) -> list[str]:
    """Read the values of all records of a partition."""
    count = await log.end_offset(topic, partition)
    reader = await log.reader(topic, partition, 0)
    records = await read_records(reader, count)
    await reader.close()
    assert [record.offset for record in records] == list(range(count))
    return values(records)


class MemorySubject:
    """A log in memory: opening it again is sharing it."""

    def __init__(self) -> None:
        self._log: MemoryLog | None = None

    def log(self, *, partitions: int = 1) -> Log:
        """Return a log of the app, not open yet."""
        if self._log is None:
            self._log = MemoryLog(partitions)
        return self._log

    async def drop_before(self, topic: Topic, partition: int, offset: int) -> None:
        """Delete the records below an offset."""
        assert self._log is not None
        self._log.drop_before(topic, partition, offset)

    async def close(self) -> None:
        """Close the logs."""


class SimulatedSubject(MemorySubject):
    """A log in memory as a simulated process sees it, while nothing goes wrong.

    Where it promised less than real logs, the simulation would find what cannot happen.
    """

    def log(self, *, partitions: int = 1) -> Log:
        """Return the log of one process of a world, not open yet."""
        if self._log is None:
            self._log = MemoryLog(partitions)
        chance = Chance(WHOLE_BATCHES_SEED, quiet=True)
        return SimLog(self._log, chance, "w0", refused=list[str]().append)


class EmbeddedSubject:
    """A log in a file of one test."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened_logs: list[Log] = []

    def log(self, *, partitions: int = 1) -> Log:
        """Return a log of the app, not open yet."""
        log = EmbeddedLog(self._path, partitions=partitions)
        self._opened_logs.append(log)
        return log

    async def drop_before(self, topic: Topic, partition: int, offset: int) -> None:
        """Delete the records below an offset."""
        statement = (
            "DELETE FROM records WHERE topic = ? AND partition = ? AND offset < ?"
        )
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute(statement, (topic.value, partition, offset))
            _, end = read_bounds(connection, topic.value, partition)
            write_bounds(connection, topic.value, partition, (offset, end))

    async def close(self) -> None:
        """Close the logs."""
        for log in self._opened_logs:
            await log.close()


class KafkaSubject:
    """An app on a real Kafka, whose topics are deleted after the test."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._app = f"t-{secrets.token_hex(4)}"
        self._opened_logs: list[Log] = []

    def log(self, *, partitions: int = 1) -> Log:
        """Return a log of the app, not open yet."""
        from sayiir_es.log.kafka.log import KafkaLog  # noqa: PLC0415 - slow to import

        log = KafkaLog(self._bootstrap, app=self._app, partitions=partitions)
        self._opened_logs.append(log)
        return log

    async def drop_before(self, topic: Topic, partition: int, offset: int) -> None:
        """Delete the records below an offset."""
        from tests import kafka_app  # noqa: PLC0415 - slow to import

        async with kafka_app.admin(self._bootstrap) as admin:
            name = f"{self._app}.{topic.value}"
            await kafka_app.drop_records(admin, name, partition, offset)

    async def close(self) -> None:
        """Close the logs."""
        from tests import kafka_app  # noqa: PLC0415 - slow to import

        for log in self._opened_logs:
            await log.close()
        await kafka_app.delete_app(self._bootstrap, self._app)
