"""What a log in memory holds: records in lists, and who owns it.

One lock guards all, so that a worker's event loop and a client's, each in a thread of
its own, may share a log; nothing ever waits under it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import OffsetGoneError
from sayiir_es.log.notifier import Notifier
from sayiir_es.log.port import Record, Topic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sayiir_es.log.port import NewRecord

CHUNK_RECORDS_MAX = 1_000
"""Records handed out at a time, so that a fold lets the event loop breathe."""


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
        self.news = Notifier()
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._owner: MemoryOwnerLock | None = None
        self._partitions = {
            (topic, partition): _Partition()
            for topic in Topic
            for partition in range(1 if topic is Topic.DEFINITIONS else partitions)
        }

    def bounds(self, topic: Topic, partition: int) -> tuple[int, int]:
        """Return the first kept offset, and the one above the last.

        Raises:
            ValueError: there is no such partition.
        """
        with self._lock:
            found = self._partition(topic, partition)
            return found.start, found.end

    def land(self, topic: Topic, partition: int, batch: Sequence[NewRecord]) -> int:
        """Put a batch at the end and return its first offset."""
        now_ms = self._now_ms()
        with self._lock:
            found = self._partition(topic, partition)
            base = found.end
            found.records.extend(
                Record(
                    offset=offset,
                    key=new.key,
                    value=new.value,
                    headers=new.headers,
                    timestamp_ms=now_ms,
                )
                for offset, new in enumerate(batch, base)
            )
        self.news.wake(((topic, partition),))
        return base

    def take(self, topic: Topic, partition: int, offset: int) -> list[Record]:
        """Return some records from `offset` on; none at the end of the log.

        Raises:
            OffsetGoneError: it is outside of what the log holds.
        """
        with self._lock:
            found = self._partition(topic, partition)
            if not found.start <= offset <= found.end:
                raise OffsetGoneError(
                    f"expected offset {offset} of {topic.value!r} {partition}, but the "
                    f"log holds {found.start} up to {found.end}"
                )
            first = offset - found.start
            return found.records[first : first + CHUNK_RECORDS_MAX]

    def drop_before(self, topic: Topic, partition: int, offset: int) -> None:
        """Forget the records below `offset`, as a topic's retention does."""
        with self._lock:
            found = self._partition(topic, partition)
            dropped = min(max(offset - found.start, 0), len(found.records))
            del found.records[:dropped]
            found.start += dropped

    def swap_owner(
        self, was: MemoryOwnerLock | None, now: MemoryOwnerLock | None
    ) -> bool:
        """Make `now` the owner if `was` is; say whether it was."""
        with self._lock:
            if self._owner is not was:
                return False
            self._owner = now
            return True

    def _partition(self, topic: Topic, partition: int) -> _Partition:
        try:
            return self._partitions[topic, partition]
        except KeyError:
            raise ValueError(
                f"expected a partition of {topic.value!r}, but {partition!r}"
            ) from None


class MemoryOwnerLock:
    """One candidate for owning a log in memory: the first one to come holds it."""

    def __init__(self, topics: MemoryTopics) -> None:
        self._topics = topics

    def try_acquire(self) -> bool:
        """Say whether it is ours, after taking it if nobody had it."""
        return self._topics.swap_owner(None, self) or self._topics.swap_owner(
            self, self
        )

    def release(self) -> None:
        """Give it back if it is ours, and wake who waits for it."""
        if self._topics.swap_owner(self, None):
            self._topics.news.wake(("owner",))

    async def acquire(self) -> None:
        """Wait until it is ours."""
        while True:
            waiter = self._topics.news.waiter("owner")
            try:
                if self.try_acquire():
                    return
                await waiter
            finally:
                self._topics.news.forget(waiter)
