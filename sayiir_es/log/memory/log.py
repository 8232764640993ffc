"""The log in the memory of one process, with faults on demand.

Theory of operation. All time is the running loop's (`asyncio.sleep`,
`asyncio.timeout`): on a loop of virtual time the log is virtual too, and it starts no
thread. It belongs to no loop: several may use it at once, each from its own thread.

A batch with a fault is delivered by a task of the log, in an empty context: what was
sent lands even when the sender was cancelled, or when a simulation no longer runs the
tasks of the sender's process.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sayiir_es.core.model.errors import AppNotFoundError, UncertainAppendError
from sayiir_es.log.batch_size import MAX_BATCH_BYTES, check_batch
from sayiir_es.log.memory.topics import MemoryOwnerLock, MemoryTopics
from sayiir_es.log.passing_topics import PassingTopics
from sayiir_es.log.port import APP_TOPICS, Chunk, LogIdentity, Topic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sayiir_es.log.port import NewRecord

APPEND_LIMIT_S = 30.0
"""How long an append waits for its answer, where a fault does not say otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong with one append. Times in seconds.

    Attributes:
        lands_after_s: When the batch is in the log; None: the request is lost.
        answered_after_s: From then until the answer; None: the answer is lost.
        limit_s: When the writer gives up, not knowing; the batch may land after that.
    """

    lands_after_s: float | None = 0.0
    answered_after_s: float | None = 0.0
    limit_s: float = APPEND_LIMIT_S


class Faults(Protocol):
    """Draws the fault of each append."""

    def next(self, partition: int, batch: Sequence[NewRecord]) -> Fault:
        """Return the fault of this batch; `Fault()` is none."""
        ...


class MemoryLog:
    """All topics of an app in lists; see `log.port.Log`.

    It lives as long as the object: `close` drops nothing, because other sessions and
    workers of the process may share it.
    """

    def __init__(
        self,
        partitions: int = 1,
        *,
        faults: Faults | None = None,
        now_ms: Callable[[], int] | None = None,
        log_id: str | None = None,
        max_batch_bytes: int = MAX_BATCH_BYTES,
        is_made: bool = False,
    ) -> None:
        """Hold nothing yet; with `is_made` it need not be made by `open`.

        `now_ms` gives the records' timestamps in milliseconds since the epoch, `log_id`
        the identity. By default they are the system's clock and a random id.
        `max_batch_bytes` is the largest batch of events, as `batch_bytes` counts it.
        """
        self._max_batch_bytes = max_batch_bytes
        self.faults = faults
        self._created = is_made
        self._topics = MemoryTopics(partitions, now_ms or _system_now_ms)
        self.request_topics = PassingTopics(now_ms)
        log_id = log_id or secrets.token_hex(8)
        self._identity = LogIdentity(
            cluster_id=log_id,
            partitions=partitions,
            topics={topic.value: f"{log_id}-{topic.value}" for topic in APP_TOPICS},
        )

    @property
    def partitions(self) -> int:
        """How many partitions `commands` and `events` have."""
        return self._identity.partitions

    @property
    def max_batch_bytes(self) -> int:
        """The largest batch that `append` takes, as `batch_bytes` counts it."""
        return self._max_batch_bytes

    async def open(self, *, create: bool) -> LogIdentity:
        """Return its identity; the first to open it with `create` makes it.

        Raises:
            AppNotFoundError: nobody has made it.
        """
        if not (create or self._created):
            raise AppNotFoundError("expected a log in memory, but nobody made it")
        self._created = True
        return self._identity

    async def open_snapshots(self) -> None:
        """Nothing to do: every topic is there."""

    async def close(self) -> None:
        """Do nothing: other users may share the log."""

    async def appender(self, partition: int) -> MemoryAppender:
        """A fresh appender for one partition of `events`."""
        self._topics.bounds(Topic.EVENTS, partition)  # there is such a partition
        return MemoryAppender(
            self._topics, partition, lambda: self.faults, self._max_batch_bytes
        )

    async def reader(self, topic: Topic, partition: int, offset: int) -> MemoryReader:
        """A reader that begins at `offset`."""
        self._topics.bounds(topic, partition)  # there is such a partition
        return MemoryReader(self._topics, topic, partition, offset)

    async def start_offset(self, topic: Topic, partition: int) -> int:
        """The first kept offset."""
        return self._topics.bounds(topic, partition)[0]

    async def end_offset(self, topic: Topic, partition: int) -> int:
        """One above the last record."""
        return self._topics.bounds(topic, partition)[1]

    async def offset_at(self, topic: Topic, partition: int, at_ms: int) -> int:
        """The offset of the first record that was written then or later."""
        return self._topics.offset_at(topic, partition, at_ms)

    async def produce(self, topic: Topic, partition: int, record: NewRecord) -> int:
        """Write one record outside the claim rule and return its offset.

        Raises:
            BatchTooLargeError: it is larger than any batch may be.
        """
        if topic is Topic.EVENTS:
            raise ValueError("expected events to be appended, but they were produced")
        check_batch((record,))
        offset = self._topics.append(topic, partition, (record,))
        await asyncio.sleep(0)  # a caller in a loop must not starve the readers
        return offset

    # --- below the port ---------------------------------------------------------------

    def owner_lock(self) -> MemoryOwnerLock:
        """A new candidate for owning this log; one at a time holds the lock."""
        return MemoryOwnerLock(self._topics)

    def drop_before(self, topic: Topic, partition: int, offset: int) -> None:
        """Drop the records below `offset`, as a topic's retention does."""
        self._topics.drop_before(topic, partition, offset)


class MemoryAppender:
    """Appends to one partition, one batch in flight; see `log.port.Appender`."""

    def __init__(
        self,
        topics: MemoryTopics,
        partition: int,
        faults: Callable[[], Faults | None],
        max_batch_bytes: int = MAX_BATCH_BYTES,
    ) -> None:
        self._max_batch_bytes = max_batch_bytes
        self._topics = topics
        self._partition = partition
        self._faults = faults
        self._idle = True
        self._delivery: asyncio.Task[None] | None = None

    async def append(self, batch: Sequence[NewRecord]) -> int:
        """Append one batch and return its first record's offset.

        Raises:
            UncertainAppendError: the fault lost the request or the answer, or the
                appender is closed or dead.
            BatchTooLargeError: it is larger than any batch may be.
        """
        if not self._idle:
            raise UncertainAppendError(
                f"expected a usable appender of partition {self._partition}, but an "
                "append before it has not ended well, or it is closed"
            )
        check_batch(batch, self._max_batch_bytes)
        self._idle = False
        faults = self._faults()
        if faults is None:
            base = self._topics.append(Topic.EVENTS, self._partition, batch)
            await asyncio.sleep(0)  # as every real log: other tasks run meanwhile
        else:
            base = await self._send(batch, faults.next(self._partition, batch))
        self._idle = True
        return base

    async def close(self) -> None:
        """Close it; a batch that was sent still lands."""
        self._idle = False

    async def _send(self, batch: Sequence[NewRecord], fault: Fault) -> int:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[int] = loop.create_future()
        # Held, because a loop alone does not keep a task from being collected.
        self._delivery = loop.create_task(
            self._deliver(batch, fault, answer), context=Context()
        )
        try:
            async with asyncio.timeout(fault.limit_s):
                return await answer
        except TimeoutError as error:
            raise UncertainAppendError(
                f"expected an answer about partition {self._partition} in "
                f"{fault.limit_s:g} s, but there was none"
            ) from error

    async def _deliver(
        self, batch: Sequence[NewRecord], fault: Fault, answer: asyncio.Future[int]
    ) -> None:
        if fault.lands_after_s is None:
            return
        await asyncio.sleep(fault.lands_after_s)
        base = self._topics.append(Topic.EVENTS, self._partition, batch)
        if fault.answered_after_s is None:
            return
        await asyncio.sleep(fault.answered_after_s)
        if not answer.done():
            answer.set_result(base)


class MemoryReader:
    """Reads one partition; see `log.port.Reader`."""

    def __init__(
        self, topics: MemoryTopics, topic: Topic, partition: int, offset: int
    ) -> None:
        self._topics = topics
        self._topic_partition = (topic, partition)
        self._next = offset

    async def read(self, *, max_wait_s: float) -> Chunk | None:
        """Return what follows, or None when nothing came within `max_wait_s`.

        Raises:
            OffsetGoneError: the next offset is outside of what the log holds.
        """
        chunk = self._next_chunk()
        if chunk is not None:
            await asyncio.sleep(0)  # a long fold must not starve the writers
            self._next = chunk.end
            return chunk
        try:
            async with asyncio.timeout(max_wait_s):
                chunk = await self._wait()
        except TimeoutError:
            return None
        self._next = chunk.end
        return chunk

    async def close(self) -> None:
        """Stop reading."""

    async def _wait(self) -> Chunk:
        while True:
            waiter = self._topics.notifier.waiter(self._topic_partition)
            try:
                chunk = self._next_chunk()
                if chunk is not None:
                    return chunk
                await waiter
            finally:
                self._topics.notifier.forget(waiter)

    def _next_chunk(self) -> Chunk | None:
        records = self._topics.read_from(*self._topic_partition, self._next)
        if not records:
            return None
        return Chunk(
            start=self._next, end=self._next + len(records), records=tuple(records)
        )


def _system_now_ms() -> int:
    return time.time_ns() // 1_000_000
