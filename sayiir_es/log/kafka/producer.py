"""Writes single records to one partition, for many callers at once.

Records that arrive while a batch is under way wait and are sent together in the next
one: a single record is sent at once, thousands share a few requests. The order is that
of arrival.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from sayiir_es.core.model.errors import (
    LogError,
    LogUnavailableError,
    UncertainAppendError,
)
from sayiir_es.log.kafka.appender import payload_limit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sayiir_es.log.kafka.appender import KafkaAppender
    from sayiir_es.log.port import NewRecord

# A million waiting callers would be a fault of the caller; this many are a busy second.
QUEUE_RECORDS_MAX = 100_000


class RecordProducer:
    """The shared writer of one partition; an appender that died is replaced."""

    def __init__(
        self,
        open_appender: Callable[[], Awaitable[KafkaAppender]],
        *,
        max_message_bytes: int,
    ) -> None:
        self._open_appender = open_appender
        self._batch_bytes_max = payload_limit(max_message_bytes)
        self._appender: KafkaAppender | None = None
        self._queue: deque[tuple[NewRecord, asyncio.Future[int]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def produce(self, record: NewRecord) -> int:
        """Write one record and return its offset.

        Raises:
            LogUnavailableError: it was not acknowledged; it may still land.
            BatchTooLargeError: the log refused its size; nothing was written.
        """
        if len(self._queue) >= QUEUE_RECORDS_MAX:
            raise LogUnavailableError(
                f"expected at most {QUEUE_RECORDS_MAX} records to wait, but there are"
            )
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.append((record, future))
        if self._task is None:
            self._task = asyncio.ensure_future(self._drain())
        return await future

    async def close(self) -> None:
        """Stop; callers that still wait get a `LogUnavailableError`."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._appender is not None:
            await self._appender.close()

    async def _drain(self) -> None:
        batch: list[tuple[NewRecord, asyncio.Future[int]]] = []
        try:
            while self._queue:
                batch = self._next_batch()
                await self._write(batch)
        finally:
            # A caller still waits only when this was closed, or by a bug here.
            self._task = None
            entries = [*batch, *self._queue]
            self._queue.clear()
            self._fail(
                entries, LogUnavailableError("expected an open log, but it ends")
            )

    async def _write(self, batch: list[tuple[NewRecord, asyncio.Future[int]]]) -> None:
        try:
            if self._appender is None:
                self._appender = await self._open_appender()
            base = await self._appender.append([record for record, _ in batch])
        except (UncertainAppendError, LogUnavailableError) as error:
            # The log was silent for the whole limit: the queued records fail as well.
            self._appender = None
            entries = [*batch, *self._queue]
            self._queue.clear()
            self._fail(entries, LogUnavailableError(str(error)))
        except LogError as error:
            self._fail(batch, error)
        else:
            for index, (_, future) in enumerate(batch):
                if not future.done():
                    future.set_result(base + index)

    def _next_batch(self) -> list[tuple[NewRecord, asyncio.Future[int]]]:
        batch = [self._queue.popleft()]
        size = _size_in_batch(batch[0][0])
        while self._queue:
            size += _size_in_batch(self._queue[0][0])
            if size > self._batch_bytes_max:
                break
            batch.append(self._queue.popleft())
        return batch

    @staticmethod
    def _fail(
        entries: list[tuple[NewRecord, asyncio.Future[int]]], error: LogError
    ) -> None:
        for _, future in entries:
            if not future.done():
                future.set_exception(error)


def _size_in_batch(record: NewRecord) -> int:
    """Return the most bytes that the record takes in a batch."""
    estimate: Callable[..., int] = DefaultRecordBatchBuilder.estimate_size_in_bytes
    return estimate(record.key, record.value, list(record.headers))
