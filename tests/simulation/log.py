"""The memory log as a process sees it over a slow network that loses messages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import BatchTooLargeError, LogUnavailableError
from sayiir_es.log.batch_size import check_batch
from sayiir_es.log.memory.log import Fault, MemoryLog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sayiir_es.log.port import (
        Appender,
        Chunk,
        LogIdentity,
        NewRecord,
        Reader,
        Record,
        RequestTopics,
        Subscription,
        Topic,
    )
    from tests.simulation.chance import Chance

GIVES_UP_S = 2.0
"""How many seconds an append waits for its answer."""

LATE_MOST_S = 15.0
"""How many seconds a batch may need to reach the log."""


SMALL_BATCHES = 0.3
"""The share of processes whose batches are small."""

SMALL_BATCH_BYTES = 900
"""More than the largest decision that is never cut; a few decisions fill it."""


class AppendFaults:
    """Draws the faults of appends."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self.refused: list[str] = []
        """Batches that were larger than the log of their process takes."""

    def next(self, partition: int, batch: Sequence[NewRecord]) -> Fault:
        """Lost, late, or its answer lost; mostly none of these."""
        entity = f"append {partition}"
        latency = self._chance.between(entity, 0.0005, 0.01)
        state = "claiming" if is_claim(batch) else "deciding"
        if self._chance.fault("request lost", entity, 0.01, state=state):
            return Fault(lands_after_s=None, limit_s=GIVES_UP_S)
        if self._chance.fault("request late", entity, 0.02, state=state):
            late_s = self._chance.between(entity, 0.5, LATE_MOST_S)
            return Fault(lands_after_s=late_s, limit_s=min(GIVES_UP_S, late_s / 2))
        if self._chance.fault("answer lost", entity, 0.015, state=state):
            return Fault(
                lands_after_s=latency, answered_after_s=None, limit_s=GIVES_UP_S
            )
        if self._chance.fault("partition slow", entity, 0.04, state=state):
            latency = self._chance.between(entity, 0.1, 1.9)
        return Fault(lands_after_s=latency, answered_after_s=latency / 2)


def is_claim(batch: Sequence[NewRecord]) -> bool:
    """Whether the batch is a claim, which has no key and is alone in its batch."""
    return len(batch) == 1 and batch[0].key is None


class SimRequestTopics:
    """Requests and replies of one process: lost, late, and delivered twice at times."""

    def __init__(self, topics: RequestTopics, chance: Chance, process: str) -> None:
        self._topics = topics
        self._chance = chance
        self._process = process

    @property
    def reply_partitions(self) -> int:
        """How many partitions `replies` has."""
        return self._topics.reply_partitions

    async def open(self, *, create: bool) -> bool:
        """They are there."""
        return await self._topics.open(create=create)

    def post(self, topic: Topic, partition: int, record: NewRecord) -> bool:
        """Send a message, which may be lost, late or doubled."""
        entity = f"{topic.value} {self._process}"
        if self._chance.fault("message lost", entity, 0.05):
            return True
        loop = asyncio.get_running_loop()
        copies = 2 if self._chance.fault("message doubled", entity, 0.05) else 1
        for _ in range(copies):
            late_s = self._chance.between(entity, 0.0005, 0.01)
            if self._chance.fault("message late", entity, 0.03):
                late_s = self._chance.between(entity, 0.5, LATE_MOST_S)
            loop.call_later(late_s, self._topics.post, topic, partition, record)
        return True

    def is_heard(self, partition: int) -> bool:
        """As the topics say."""
        return self._topics.is_heard(partition)

    def value_bytes_max(self, topic: Topic) -> int:
        """As the topics say."""
        return self._topics.value_bytes_max(topic)

    async def subscribe(self, topic: Topic, partition: int) -> Subscription:
        """Read a partition from now on."""
        return await self._topics.subscribe(topic, partition)


class SimLog:
    """The log of one process; see `log.port.Log`."""

    def __init__(
        self,
        log: MemoryLog,
        chance: Chance,
        process: str,
        refused: Callable[[str], None],
        *,
        slow_commands: bool = False,
    ) -> None:
        """With `slow_commands` what is produced may be on its way for seconds."""
        self._slow_commands = slow_commands
        self._log = log
        self._refused = refused
        self._chance = chance
        self._process = process
        small = chance.number("batches") < SMALL_BATCHES
        self._max_batch_bytes = SMALL_BATCH_BYTES if small else log.max_batch_bytes
        self._producing = asyncio.Lock()
        self._produce_failures = 0

    @property
    def partitions(self) -> int:
        """How many partitions `commands` and `events` have."""
        return self._log.partitions

    @property
    def max_batch_bytes(self) -> int:
        """The largest batch that `append` takes: at times a few events fill it."""
        return self._max_batch_bytes

    @property
    def request_topics(self) -> RequestTopics:
        """Those of the log, over a network that loses and doubles messages."""
        return SimRequestTopics(self._log.request_topics, self._chance, self._process)

    async def open(self, *, create: bool) -> LogIdentity:
        """Return who it is."""
        return await self._log.open(create=create)

    async def open_snapshots(self) -> None:
        """Nothing to do: every topic is there."""

    async def close(self) -> None:
        """Nothing."""

    async def appender(self, partition: int) -> Appender:
        """A new appender; sometimes the log is unavailable."""
        await self._travel("appender")
        inner = await self._log.appender(partition)
        return _LimitedAppender(inner, self._max_batch_bytes, self._refused)

    async def reader(self, topic: Topic, partition: int, offset: int) -> Reader:
        """A reader whose answers take some time."""
        await self._travel("reader")
        inner = await self._log.reader(topic, partition, offset)
        return _SlowReader(self, inner)

    async def start_offset(self, topic: Topic, partition: int) -> int:
        """The first kept offset."""
        await self._travel("start_offset")
        return await self._log.start_offset(topic, partition)

    async def end_offset(self, topic: Topic, partition: int) -> int:
        """One above the last record."""
        await self._travel("end_offset")
        offset = await self._log.end_offset(topic, partition)
        await self.latency()
        return offset

    async def produce(self, topic: Topic, partition: int, record: NewRecord) -> int:
        """Write one record, in the order of the calls; its answer may be lost."""
        failures = self._produce_failures
        async with self._producing:
            if self._produce_failures != failures:
                raise LogUnavailableError("expected to come behind what arrived")
            try:
                await self._travel("produce", 0.04)
            except LogUnavailableError:
                self._produce_failures += 1
                raise
            if self._slow_commands and self._chance.fault(
                "produce late", self._process, 0.03
            ):
                late_s = self._chance.between(f"late {self._process}", 0.2, 4.0)
                await asyncio.sleep(late_s)
            offset = await self._log.produce(topic, partition, record)
        if self._chance.fault("produce unanswered", self._process, 0.02):
            await asyncio.sleep(GIVES_UP_S)
            raise LogUnavailableError("expected an acknowledgement, but there was none")
        await self.latency()
        return offset

    async def latency(self) -> None:
        """Wait as long as an answer takes."""
        await asyncio.sleep(self._chance.between(f"net {self._process}", 0.0005, 0.005))

    async def _travel(self, what: str, share: float = 0.01) -> None:
        await self.latency()
        if self._chance.fault("unavailable", self._process, share, state=what):
            # Mostly at once, as if a broker closed the connection.
            refused = self._chance.number(f"refused {self._process}")
            await asyncio.sleep(GIVES_UP_S * refused**4)
            raise LogUnavailableError(
                f"expected an answer to {what}, but there is none"
            )


class _LimitedAppender:
    """Refuses what is larger than the log says that it takes."""

    def __init__(
        self, inner: Appender, max_batch_bytes: int, refused: Callable[[str], None]
    ) -> None:
        self._inner = inner
        self._max_batch_bytes = max_batch_bytes
        self._refused = refused

    async def append(self, batch: Sequence[NewRecord]) -> int:
        """Append one batch."""
        try:
            check_batch(batch, self._max_batch_bytes)
        except BatchTooLargeError as error:
            self._refused(str(error))
            raise
        return await self._inner.append(batch)

    async def close(self) -> None:
        """Close it."""
        await self._inner.close()


class _SlowReader:
    def __init__(self, log: SimLog, inner: Reader) -> None:
        self._log = log
        self._inner = inner
        self._chunk: Chunk | None = None

    async def read(self, *, max_wait_s: float) -> Chunk | None:
        """Return the next chunk, after its time in the network."""
        # Kept until it is returned: a read that is cancelled meanwhile loses nothing.
        if self._chunk is None:
            self._chunk = await self._inner.read(max_wait_s=max_wait_s)
        await self._log.latency()
        chunk, self._chunk = self._chunk, None
        return chunk

    async def close(self) -> None:
        """Stop reading."""
        await self._inner.close()


def records_of(log: MemoryLog, topic: Topic, partition: int) -> list[Record]:
    """All records of a partition, read without an event loop."""
    topics = log._topics  # pyright: ignore[reportPrivateUsage]  # what really happened
    start, end = topics.bounds(topic, partition)
    records: list[Record] = []
    while start + len(records) < end:
        records += topics.read_from(topic, partition, start + len(records))
    return records
