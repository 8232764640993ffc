"""A log that answers nothing more after so many batches: its process was killed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sayiir_es.log.port import (
        Appender,
        Chunk,
        Log,
        LogIdentity,
        NewRecord,
        Reader,
        RequestTopics,
        Topic,
    )


class SeveredLog:
    """Passes everything to a log until `appends` batches were written.

    The last of them is in the log, but neither it nor anything later is answered. See
    `log.port.Log`.
    """

    def __init__(self, log: Log, appends: int, severed: Callable[[], None]) -> None:
        self._log = log
        self._appends_left = appends
        self._severed = severed

    @property
    def partitions(self) -> int:
        """How many partitions `commands` and `events` have."""
        return self._log.partitions

    @property
    def max_batch_bytes(self) -> int:
        """The largest batch that `append` takes."""
        return self._log.max_batch_bytes

    @property
    def request_topics(self) -> RequestTopics:
        """As the log: what is lost of them is asked again."""
        return self._log.request_topics

    async def open(self, *, create: bool) -> LogIdentity:
        """As the log."""
        return await self._log.open(create=create)

    async def open_snapshots(self) -> None:
        """As the log."""
        await self._log.open_snapshots()

    async def close(self) -> None:
        """As the log."""
        await self._log.close()

    async def appender(self, partition: int) -> Appender:
        """An appender that counts."""
        await self.alive()
        return _SeveredAppender(self, await self._log.appender(partition))

    async def reader(self, topic: Topic, partition: int, offset: int) -> Reader:
        """A reader that stops."""
        await self.alive()
        return _SeveredReader(self, await self._log.reader(topic, partition, offset))

    async def start_offset(self, topic: Topic, partition: int) -> int:
        """As the log."""
        await self.alive()
        return await self._log.start_offset(topic, partition)

    async def end_offset(self, topic: Topic, partition: int) -> int:
        """As the log."""
        await self.alive()
        return await self._log.end_offset(topic, partition)

    async def produce(self, topic: Topic, partition: int, record: NewRecord) -> int:
        """As the log."""
        await self.alive()
        return await self._log.produce(topic, partition, record)

    async def alive(self) -> None:
        """Return at once, or never when the batches are used up."""
        if self._appends_left <= 0:
            await asyncio.get_running_loop().create_future()

    async def appended(self) -> None:
        """Count a batch that is in the log."""
        self._appends_left -= 1
        if self._appends_left == 0:
            self._severed()
        await self.alive()


class _SeveredAppender:
    def __init__(self, log: SeveredLog, inner: Appender) -> None:
        self._log = log
        self._inner = inner

    async def append(self, batch: Sequence[NewRecord]) -> int:
        """As the log; the last batch is not answered."""
        await self._log.alive()
        base = await self._inner.append(batch)
        await self._log.appended()
        return base

    async def close(self) -> None:
        """As the log."""
        await self._inner.close()


class _SeveredReader:
    def __init__(self, log: SeveredLog, inner: Reader) -> None:
        self._log = log
        self._inner = inner

    async def read(self, *, max_wait_s: float) -> Chunk | None:
        """As the log."""
        await self._log.alive()
        chunk = await self._inner.read(max_wait_s=max_wait_s)
        await self._log.alive()
        return chunk

    async def close(self) -> None:
        """As the log."""
        await self._inner.close()
