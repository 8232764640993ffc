"""The log in one SQLite file: durable before it acknowledges, for one machine.

Any process of the machine may read the file and produce commands. Who owns the events
is decided by the owner lock (`lock`) and, as everywhere, by the claim rule. Readers are
woken by the commits of every process; module `hub` says how they hear of them, and how
requests and replies pass. Module `file` says how the file is made and why a commit is
durable, `threads` why no call here blocks the event loop.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import LogUnavailableError, UncertainAppendError
from sayiir_es.log.batch_size import MAX_BATCH_BYTES, check_batch
from sayiir_es.log.embedded.checksum import StoredPartition
from sayiir_es.log.embedded.file import open_file
from sayiir_es.log.embedded.file_mode import PRIVATE
from sayiir_es.log.embedded.hub import Hub, hub_of
from sayiir_es.log.embedded.instance_index import read_key
from sayiir_es.log.embedded.rows import Write, bounds, read_from
from sayiir_es.log.embedded.threads import CommitThread, ConnectionThread
from sayiir_es.log.port import Chunk, LogIdentity, Topic

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from sayiir_es.log.embedded.rows import Read
    from sayiir_es.log.notifier import Waiter
    from sayiir_es.log.port import NewRecord, Record


class EmbeddedLog:
    """All topics of an app in one file; see `log.port.Log`. Usable from any loop."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        partitions: int = 1,
        mode: int = PRIVATE,
        on_any_disk: bool = False,
    ) -> None:
        """Touch nothing yet; `open` makes or checks the file at `path`.

        `mode` are the permission bits of a new file. With `on_any_disk` it may lie on a
        disk that SQLite is not known to be safe on.
        """
        self.path = Path(path).resolve()
        self.request_topics: Hub = hub_of(self.path)
        self._uses_hub = False
        self._partitions = partitions
        self._mode = mode
        self._on_any_disk = on_any_disk
        self._identity: LogIdentity | None = None
        self._unchecked_ends: Mapping[str, int] = {}
        self._stored: dict[tuple[Topic, int], StoredPartition] = {}
        self._commit_thread: CommitThread | None = None
        self._reader_thread: ConnectionThread | None = None

    @property
    def partitions(self) -> int:
        """How many partitions `commands` and `events` have."""
        return self._partitions

    @property
    def max_batch_bytes(self) -> int:
        """The largest batch that `append` takes, as `batch_bytes` counts it."""
        return MAX_BATCH_BYTES

    async def open(self, *, create: bool) -> LogIdentity:
        """Make the file if there is none and `create`, and check it.

        Raises:
            AppNotFoundError: there is none, and none may be made.
            LogUnavailableError: it cannot be used now.
            UnsafeLogError: it is not a log of ours, of another format, of another
                partition count, or on a disk where SQLite is not safe.
            DamagedLogError: it is damaged.
        """
        if self._identity is None:
            commit_thread = CommitThread(self.path, self.request_topics.committed)
            try:
                opened = await commit_thread.call(
                    lambda: open_file(
                        self.path,
                        create=create,
                        partitions=self._partitions,
                        mode=self._mode,
                        on_any_disk=self._on_any_disk,
                    )
                )
            except BaseException:
                await commit_thread.close()
                raise
            self._identity = opened.identity
            self._unchecked_ends = opened.unchecked_ends
            self._commit_thread = commit_thread
            self._reader_thread = ConnectionThread(self.path, "reads")
            self.request_topics.use()
            self._uses_hub = True
        return self._identity

    async def open_snapshots(self) -> None:
        """Nothing to do: every topic is there."""

    async def close(self) -> None:
        """Commit what is queued and close the file; a second call does nothing."""
        commit_thread, self._commit_thread = self._commit_thread, None
        reader_thread, self._reader_thread = self._reader_thread, None
        uses_hub, self._uses_hub = self._uses_hub, False
        self._identity = None
        self._stored.clear()
        try:
            if commit_thread is not None:
                await commit_thread.close()
            if reader_thread is not None:
                await reader_thread.close()
        finally:
            if uses_hub:
                self.request_topics.end_use()
            self.request_topics.notifier.wake()

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
        return (await self._bounds(topic, partition))[0]

    async def end_offset(self, topic: Topic, partition: int) -> int:
        """One above the last record."""
        return (await self._bounds(topic, partition))[1]

    async def produce(self, topic: Topic, partition: int, record: NewRecord) -> int:
        """Write one record outside the claim rule and return its offset.

        Raises:
            LogUnavailableError: it was not acknowledged; it may still land.
            BatchTooLargeError: it is larger than any batch may be.
            DamagedLogError: the file is damaged; nothing was written.
        """
        if topic is Topic.EVENTS:
            raise ValueError("expected events to be appended, but they were produced")
        self._check(topic, partition)
        size = check_batch((record,))
        try:
            return await self.write(topic, partition, (record,), size)
        except UncertainAppendError as error:
            raise LogUnavailableError(str(error)) from error

    async def read_instance(self, partition: int, instance_id: str) -> list[Record]:
        """Return the events of one instance, valid or not, and those of the partition.

        Raises:
            LogUnavailableError: the log is closed, or cannot be read now.
            DamagedLogError: the file is damaged.
        """
        key = instance_id.encode("utf-8", "surrogatepass")
        stored = self._stored_partition(Topic.EVENTS, partition)
        return await self._get_reader_thread().run(read_key, stored, key)

    # --- below the port
    # ----------------------------------------------------------------

    async def write(
        self, topic: Topic, partition: int, batch: Sequence[NewRecord], size: int
    ) -> int:
        """Commit a batch of so many bytes and return its first offset.

        Raises:
            LogUnavailableError: other processes kept the file locked, or it is closed;
                nothing was written.
            UncertainAppendError: the disk failed, or is full.
            DamagedLogError: the file is damaged; nothing was written.
        """
        if self._commit_thread is None:
            raise self._closed_error()
        return await self._commit_thread.write(
            Write(self._stored_partition(topic, partition), batch, size)
        )

    async def read_from(self, topic: Topic, partition: int, offset: int) -> Read:
        """Return some records from `offset` on; none at the end of the log.

        Raises:
            OffsetGoneError: it is outside of what the log holds.
            DamagedLogError: the file is damaged.
        """
        stored = self._stored_partition(topic, partition)
        return await self._get_reader_thread().run(read_from, stored, offset)

    async def _bounds(self, topic: Topic, partition: int) -> tuple[int, int]:
        self._check(topic, partition)
        stored = self._stored_partition(topic, partition)
        return await self._get_reader_thread().run(bounds, stored)

    def _stored_partition(self, topic: Topic, partition: int) -> StoredPartition:
        stored = self._stored.get((topic, partition))
        if stored is None:
            stored = self._stored[topic, partition] = StoredPartition(
                path=self.path,
                topic=topic,
                partition=partition,
                unchecked_end=self._unchecked_ends.get(f"{topic.value}/{partition}", 0),
            )
        return stored

    def _get_reader_thread(self) -> ConnectionThread:
        if self._reader_thread is None:
            raise self._closed_error()
        return self._reader_thread

    def _closed_error(self) -> LogUnavailableError:
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
            DamagedLogError: the file is damaged; nothing was written.
        """
        if not self._idle:
            raise UncertainAppendError(
                f"expected a usable appender of partition {self._partition}, but an "
                "append before it has not ended well, or it is closed"
            )
        size = check_batch(batch)
        self._idle = False
        base = await self._log.write(Topic.EVENTS, self._partition, batch, size)
        self._idle = True
        return base

    async def close(self) -> None:
        """Close it; a batch that is queued still lands."""
        self._idle = False


class EmbeddedReader:
    """Reads one partition; see `log.port.Reader`.

    Theory of operation. From the first time that it finds nothing it is told of
    commits. A waiter is made before each look into the file; where the look came to the
    end of the partition, the next one is made when the waiter has been resolved. So it
    looks once for what is committed together.
    """

    def __init__(
        self, log: EmbeddedLog, topic: Topic, partition: int, offset: int
    ) -> None:
        self._log = log
        self._topic_partition = (topic, partition)
        self._next = offset
        self._waiter: Waiter | None = None
        """Made before the last look; None until it found nothing for the first time."""
        self._is_at_end = False
        """Whether the last look came to the end of the partition."""

    async def read(self, *, max_wait_s: float) -> Chunk | None:
        """Return what follows, or None when nothing came within `max_wait_s`.

        Raises:
            OffsetGoneError: the next offset is outside of what the log holds.
            LogUnavailableError: the log is closed, or cannot be read now.
            DamagedLogError: the file is damaged.
        """
        if self._may_find_more():
            follows = self._waiter is not None
            chunk = await (self._look_and_follow() if follows else self._look())
            if chunk is not None:
                return chunk
        try:
            async with asyncio.timeout(max_wait_s):
                return await self._wait()
        except TimeoutError:
            # Who committed may have been killed before it told of it.
            return await self._look_and_follow()

    async def close(self) -> None:
        """Stop reading."""
        self._forget_waiter()

    async def _wait(self) -> Chunk:
        while True:
            if self._may_find_more():
                chunk = await self._look_and_follow()
                if chunk is not None:
                    return chunk
            elif self._waiter is not None:
                try:
                    await self._waiter
                except asyncio.CancelledError:
                    self._forget_waiter()
                    raise

    def _may_find_more(self) -> bool:
        """Whether a look may find more than the last one."""
        return not self._is_at_end or self._waiter is None or self._waiter.done()

    async def _look_and_follow(self) -> Chunk | None:
        self._forget_waiter()
        hub = self._log.request_topics
        self._waiter = hub.notifier.waiter(self._topic_partition)
        hub.watch(self._topic_partition)
        return await self._look()

    async def _look(self) -> Chunk | None:
        """Return what stands in the file behind what was read; None if nothing does."""
        self._is_at_end = False  # unless this look comes to it
        start = self._next
        read = await self._log.read_from(*self._topic_partition, start)
        self._is_at_end = read.is_last
        if not read.records:
            return None
        self._next = start + len(read.records)
        return Chunk(start=start, end=self._next, records=read.records)

    def _forget_waiter(self) -> None:
        if self._waiter is not None:
            self._log.request_topics.notifier.forget(self._waiter)
