"""The log in one SQLite file: durable before it acknowledges, for one machine.

Any process of the machine may read the file and produce commands; who owns the events
is settled by the owner lock (`lock`) and, as everywhere, by the claim rule. Readers of
this process are woken by its commits; other processes' commits are noticed within 10
ms. `embedded_file` tells how the file is made and why a commit is durable,
`embedded_threads` why no call here blocks the event loop.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from sayiir_es.core.model.errors import LogUnavailableError, UncertainAppendError
from sayiir_es.log.batch_size import MAX_BATCH_BYTES, check_batch
from sayiir_es.log.embedded.file import open_file
from sayiir_es.log.embedded.rows import Write, bounds, read_from, read_key
from sayiir_es.log.embedded.threads import CommitThread, ConnectionThread, WatchThread
from sayiir_es.log.notifier import Notifier
from sayiir_es.log.port import Chunk, LogIdentity, Topic

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from sayiir_es.log.port import NewRecord, Record

# All logs of this process on one file share their news: a commit of one wakes all.
_news_of: WeakValueDictionary[Path, Notifier] = WeakValueDictionary()


class EmbeddedLog:
    """All topics of an app in one file; see `log.port.Log`. Usable from any loop."""

    def __init__(self, path: str | os.PathLike[str], *, partitions: int = 1) -> None:
        """Touch nothing yet; `open` makes or checks the file at `path`."""
        self.path = Path(path).resolve()
        self.news = _news_of.setdefault(self.path, Notifier())
        self._partitions = partitions
        self._identity: LogIdentity | None = None
        self._commits: CommitThread | None = None
        self._reads: ConnectionThread | None = None
        self._watch: WatchThread | None = None

    @property
    def partitions(self) -> int:
        """How many partitions `commands` and `events` have."""
        return self._partitions

    @property
    def max_batch_bytes(self) -> int:
        """The largest batch that `append` takes, in bytes of keys, values, headers."""
        return MAX_BATCH_BYTES

    async def open(self, *, create: bool) -> LogIdentity:
        """Make the file if there is none and `create`, and check it.

        Raises:
            LogUnavailableError: there is none, or it cannot be used now.
            UnsafeLogError: it is not a log of ours, of another format, damaged, of
                another partition count, or on a disk where SQLite is not safe.
        """
        if self._identity is None:
            commits = CommitThread(self.path, self.news)
            try:
                self._identity = await commits.call(
                    lambda: open_file(
                        self.path, create=create, partitions=self._partitions
                    )
                )
            except BaseException:
                await commits.close()
                raise
            self._commits = commits
            self._reads = ConnectionThread(self.path, "reads")
            self._watch = WatchThread(self.path, self.news)
        return self._identity

    async def open_snapshots(self) -> None:
        """Nothing to do: every topic is there."""

    async def close(self) -> None:
        """Commit what is queued and give the file back; again, it does nothing."""
        commits, self._commits = self._commits, None
        reads, self._reads = self._reads, None
        watch, self._watch = self._watch, None
        self._identity = None
        if watch is not None:
            watch.close()
        if commits is not None:
            await commits.close()
        if reads is not None:
            await reads.close()
        self.news.wake()

    async def appender(self, partition: int) -> EmbeddedAppender:
        """A fresh appender for one partition of `events`."""
        self._check(Topic.EVENTS, partition)
        return EmbeddedAppender(self, partition)

    async def reader(self, topic: Topic, partition: int, offset: int) -> EmbeddedReader:
        """A reader that begins at `offset`."""
        self._check(topic, partition)
        return EmbeddedReader(self, topic, partition, offset)

    async def start_offset(self, topic: Topic, partition: int) -> int:
        """The first kept offset."""
        self._check(topic, partition)
        return (await self._reading().run(bounds, topic, partition))[0]

    async def end_offset(self, topic: Topic, partition: int) -> int:
        """One above the last record."""
        self._check(topic, partition)
        return (await self._reading().run(bounds, topic, partition))[1]

    async def produce(self, topic: Topic, partition: int, record: NewRecord) -> int:
        """Write one record outside the claim rule and return its offset.

        Raises:
            LogUnavailableError: it was not acknowledged; it may still land.
            BatchTooLargeError: it is larger than any batch may be.
        """
        if topic is Topic.EVENTS:
            raise ValueError("expected events to be appended, but they were produced")
        self._check(topic, partition)
        check_batch((record,))
        try:
            return await self.write(topic, partition, (record,))
        except UncertainAppendError as error:
            raise LogUnavailableError(str(error)) from error

    async def read_instance(self, partition: int, instance_id: str) -> list[Record]:
        """The events of one instance, valid or not, and those of the partition."""
        key = instance_id.encode("utf-8", "surrogatepass")
        return await self._reading().run(read_key, partition, key)

    # --- beneath the port -------------------------------------------------------------

    async def write(
        self, topic: Topic, partition: int, batch: Sequence[NewRecord]
    ) -> int:
        """Commit a batch and return its first offset.

        Raises:
            LogUnavailableError: other processes kept the file locked, or it is closed;
                nothing was written.
            UncertainAppendError: the disk failed, or is full.
        """
        if self._commits is None:
            raise self._closed()
        return await self._commits.write(
            Write(topic=topic, partition=partition, batch=batch)
        )

    async def take(self, topic: Topic, partition: int, offset: int) -> Chunk | None:
        """Return what stands at `offset` and behind it; None at the end of the log.

        Raises:
            OffsetGoneError: it is outside of what the log holds.
        """
        records = await self._reading().run(read_from, topic, partition, offset)
        if not records:
            return None
        return Chunk(start=offset, end=offset + len(records), records=records)

    def _reading(self) -> ConnectionThread:
        if self._reads is None:
            raise self._closed()
        return self._reads

    def _closed(self) -> LogUnavailableError:
        return LogUnavailableError(
            f"expected {str(self.path)!r} to be open, but it is not"
        )

    def _check(self, topic: Topic, partition: int) -> None:
        count = 1 if topic is Topic.DEFINITIONS else self._partitions
        if not 0 <= partition < count:
            raise ValueError(
                f"expected a partition of {topic.value!r}, but {partition!r}"
            )


class EmbeddedAppender:
    """Appends to one partition, one batch in flight; see `log.port.Appender`."""

    def __init__(self, log: EmbeddedLog, partition: int) -> None:
        self._log = log
        self._partition = partition
        self._idle = True

    async def append(self, batch: Sequence[NewRecord]) -> int:
        """Append one batch and return its first record's offset.

        Raises:
            UncertainAppendError: the disk failed, or is full.
            LogUnavailableError: other processes kept the file locked, or it is closed;
                nothing was written. This appender is dead all the same.
            BatchTooLargeError: it is larger than any batch may be.
        """
        if not self._idle:
            raise UncertainAppendError(
                f"expected a usable appender of partition {self._partition}, but an "
                "append before it has not ended well, or it is closed"
            )
        check_batch(batch)
        self._idle = False
        base = await self._log.write(Topic.EVENTS, self._partition, batch)
        self._idle = True
        return base

    async def close(self) -> None:
        """Let go of it; a batch that is queued still lands."""
        self._idle = False


class EmbeddedReader:
    """Reads one partition; see `log.port.Reader`."""

    def __init__(
        self, log: EmbeddedLog, topic: Topic, partition: int, offset: int
    ) -> None:
        self._log = log
        self._where = (topic, partition)
        self._next = offset

    async def read(self, *, max_wait_s: float) -> Chunk | None:
        """Return what follows, or None when nothing came within `max_wait_s`.

        Raises:
            OffsetGoneError: the next offset is outside of what the log holds.
            LogUnavailableError: the log is closed, or cannot be read now.
            UnsafeLogError: the file is damaged.
        """
        chunk = await self._log.take(*self._where, self._next)
        if chunk is None:
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
        news = self._log.news
        while True:
            waiter = news.waiter(self._where)
            try:
                chunk = await self._log.take(*self._where, self._next)
                if chunk is not None:
                    return chunk
                await waiter
            finally:
                news.forget(waiter)
