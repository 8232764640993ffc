"""What a log in memory holds: records in lists, and who owns it.

One lock guards all, so that a worker's event loop and a client's, each in its own
thread, may share a log. Nothing waits while it holds that lock.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import OffsetGoneError
from sayiir_es.log.notifier import Notifier
from sayiir_es.log.port import APP_TOPICS, Record, Topic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sayiir_es.log.port import NewRecord

CHUNK_RECORDS_MAX = 1_000
"""Records in one chunk; a larger one would block the event loop for too long."""

CHUNK_BYTES_MAX = 1 << 20
"""How many bytes of values are in one chunk, besides its last record; as on Kafka."""


def _within_bytes(records: list[Record]) -> list[Record]:
    size = 0
    for number, record in enumerate(records, start=1):
        size += len(record.value or b"")
        if size >= CHUNK_BYTES_MAX:
            return records[:number]
    return records


class _Partition:
    def __init__(self) -> None:
        self.start = 0
        self.records: list[Record] = []

    @property
    def end(self) -> int:
        return self.start + len(self.records)


class MemoryTopics:
    """The partitions of all topics of an app."""

    def __init__(self, partitions: int, now_ms: Callable[[], int]) -> None:
        self.notifier = Notifier()
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._owner: MemoryOwnerLock | None = None
        self.waiting_workers = 0
        """How many wait to own the log, those for one call excepted."""
        self.waiting_calls = 0
        """How many wait to own it for one call."""
        self._partitions = {
            (topic, partition): _Partition()
            for topic in (*APP_TOPICS, Topic.SNAPSHOTS)
            for partition in range(1 if topic is Topic.DEFINITIONS else partitions)
        }

    def bounds(self, topic: Topic, partition: int) -> tuple[int, int]:
        """Return the first kept offset, and the one above the last.

        Raises:
            ValueError: there is no such partition.
        """
        with self._lock:
            content = self._partition(topic, partition)
            return content.start, content.end

    def offset_at(self, topic: Topic, partition: int, at_ms: int) -> int:
        """Return the offset of the first record that was written then or later."""
        with self._lock:
            content = self._partition(topic, partition)
            for record in content.records:
                if record.timestamp_ms >= at_ms:
                    return record.offset
            return content.end

    def append(self, topic: Topic, partition: int, batch: Sequence[NewRecord]) -> int:
        """Append a batch and return its first offset."""
        now_ms = self._now_ms()
        with self._lock:
            content = self._partition(topic, partition)
            base = content.end
            content.records.extend(
                Record(
                    offset=offset,
                    key=new.key,
                    value=new.value,
                    headers=new.headers,
                    timestamp_ms=now_ms,
                )
                for offset, new in enumerate(batch, base)
            )
        self.notifier.wake(((topic, partition),))
        return base

    def read_from(self, topic: Topic, partition: int, offset: int) -> list[Record]:
        """Return some records from `offset` on; none at the end of the log.

        Raises:
            OffsetGoneError: it is outside of what the log holds.
        """
        with self._lock:
            content = self._partition(topic, partition)
            if not content.start <= offset <= content.end:
                raise OffsetGoneError(
                    f"expected offset {offset} of {topic.value!r} {partition}, but the "
                    f"log holds {content.start} up to {content.end}"
                )
            first = offset - content.start
            return _within_bytes(content.records[first : first + CHUNK_RECORDS_MAX])

    def drop_before(self, topic: Topic, partition: int, offset: int) -> None:
        """Drop the records below `offset`, as a topic's retention does."""
        with self._lock:
            content = self._partition(topic, partition)
            dropped = min(max(offset - content.start, 0), len(content.records))
            del content.records[:dropped]
            content.start += dropped

    def swap_owner(
        self, previous: MemoryOwnerLock | None, new: MemoryOwnerLock | None
    ) -> bool:
        """Make `new` the owner if `previous` is; return whether it was."""
        with self._lock:
            if self._owner is not previous:
                return False
            self._owner = new
            return True

    def count_waiting(self, change: int, *, briefly: bool) -> None:
        """Count who waits to own the log, for one call or as a worker, or no longer."""
        with self._lock:
            if briefly:
                self.waiting_calls += change
            else:
                self.waiting_workers += change
        # Who wants it for one call may try now; who owns it hears that it is wanted.
        self.notifier.wake(("owner", "wanted"))

    def _partition(self, topic: Topic, partition: int) -> _Partition:
        try:
            return self._partitions[topic, partition]
        except KeyError:
            raise ValueError(
                f"expected a partition of {topic.value!r}, but {partition!r}"
            ) from None


class MemoryOwnerLock:
    """One candidate for owning a log in memory: the first one to ask holds it."""

    def __init__(self, topics: MemoryTopics) -> None:
        self._topics = topics

    def try_acquire(self, *, briefly: bool = False) -> bool:
        """Take the lock if nobody has it; return whether it is ours.

        With `briefly` it is wanted for one call: not taken while a worker waits for it.
        """
        if self._topics.swap_owner(self, self):
            return True
        if briefly and self._topics.waiting_workers:
            return False
        return self._topics.swap_owner(None, self)

    def release(self) -> None:
        """Release the lock if it is ours, and wake the candidates that wait for it."""
        if self._topics.swap_owner(self, None):
            self._topics.notifier.wake(("owner",))

    async def acquire(self, *, briefly: bool = False) -> None:
        """Wait until it is ours."""
        self._topics.count_waiting(1, briefly=briefly)
        try:
            await self._wait(briefly=briefly)
        finally:
            self._topics.count_waiting(-1, briefly=briefly)

    async def wanted(self, *, briefly: bool = False) -> None:
        """Wait until a worker waits for the lock; with `briefly` a call, too."""
        topics = self._topics
        while True:
            waiter = topics.notifier.waiter("wanted")
            try:
                if topics.waiting_workers or (briefly and topics.waiting_calls):
                    return
                await waiter
            finally:
                self._topics.notifier.forget(waiter)

    async def _wait(self, *, briefly: bool) -> None:
        while True:
            waiter = self._topics.notifier.waiter("owner")
            try:
                if self.try_acquire(briefly=briefly):
                    return
                await waiter
            finally:
                self._topics.notifier.forget(waiter)
