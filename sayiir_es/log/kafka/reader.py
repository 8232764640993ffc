"""Reads one partition from an offset on, by long polls.

One fetch is always under way while the caller works on the records of the last one. The
broker holds the request until there is a record, so a record is here a millisecond
after it was acknowledged.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import LogError, OffsetGoneError
from sayiir_es.log.kafka.access import refusal_of
from sayiir_es.log.kafka.broker_connection import TRANSPORT_ERRORS
from sayiir_es.log.kafka.completed_fetch import CompletedFetch

if TYPE_CHECKING:
    from aiokafka.structs import TopicPartition

    from sayiir_es.log.kafka.fetch_format import FetchAnswer
    from sayiir_es.log.kafka.fetch_requests import Fetch, FetchRequests
    from sayiir_es.log.port import Chunk

LARGE_BYTES = 64 * 1024
"""Who gets so much at once is behind the end of the partition, and fetches alone."""

_OFFSET_OUT_OF_RANGE = 1


class KafkaReader:
    """One reader of one partition; see `log.port.Reader`."""

    def __init__(
        self,
        requests: FetchRequests,
        partition: TopicPartition,
        offset: int,
        *,
        compacted: bool,
    ) -> None:
        self._requests = requests
        self._partition = partition
        self._next = offset
        self._compacted = compacted
        self._is_behind = False
        self._fetch: Fetch | None = None
        self._recovery: asyncio.Task[None] | None = None
        self._completed: CompletedFetch | None = None
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        """Who waits until there is something completed, or an error."""

    async def read(self, *, max_wait_s: float) -> Chunk | None:
        """Return what follows, or None when nothing came within `max_wait_s`.

        Raises:
            OffsetGoneError: the next offset is not in the log.
            LogRefusedError: the broker refused.
            LogUnavailableError: it sent damaged bytes.
        """
        if self._completed is None and self._error is None:
            await self._wait(max_wait_s)
        error, self._error = self._error, None
        if error is not None:
            raise error
        completed, self._completed = self._completed, None
        if completed is None:
            return None
        chunk = completed.take()
        self._next = chunk.end
        if completed.empty:
            self._begin()
        else:
            self._completed = completed
        return chunk

    async def close(self) -> None:
        """Stop reading."""
        if self._fetch is not None:
            self._fetch.cancel()
            self._fetch = None
        recovery, self._recovery = self._recovery, None
        if recovery is not None:
            recovery.cancel()
            # Its error is read, so that asyncio does not report it as never retrieved.
            await asyncio.gather(recovery, return_exceptions=True)

    async def _wait(self, max_wait_s: float) -> None:
        if self._fetch is None and self._recovery is None:
            self._begin()
        if self._completed is not None or self._error is not None:
            return
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(max_wait_s, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _begin(self) -> None:
        try:
            self._fetch = self._requests.fetch(
                self._partition, self._next, self._take, alone=self._is_behind
            )
        except TRANSPORT_ERRORS:
            self._recover()
        except LogError as error:
            self._fail(error)

    def _take(self, answer: FetchAnswer | Exception) -> None:
        """What the leader answered."""
        self._fetch = None
        if isinstance(answer, TRANSPORT_ERRORS):
            self._recover()
            return
        if isinstance(answer, Exception):
            self._fail(answer)
            return
        if answer.code:
            self._take_refusal(answer.code)
            return
        self._is_behind = len(answer.data) >= LARGE_BYTES
        try:
            completed = CompletedFetch(
                self._next, answer.data, answer.aborted, compacted=self._compacted
            )
        except LogError as error:
            self._fail(error)
            return
        if completed.empty:
            self._begin()
            return
        self._completed = completed
        self._wake()

    def _take_refusal(self, code: int) -> None:
        topic, partition = self._partition
        if code == _OFFSET_OUT_OF_RANGE:
            self._fail(
                OffsetGoneError(
                    f"expected offset {self._next} of {topic!r} {partition}, "
                    "but it is outside of what the log holds"
                )
            )
            return
        refusal = refusal_of(
            code,
            f"read {topic!r} {partition}",
            operation="Read",
            name=topic,
            options=self._requests.options,
        )
        if refusal is None:
            self._recover()
        else:
            self._fail(refusal)

    def _fail(self, error: Exception) -> None:
        self._error = error
        self._wake()

    def _recover(self) -> None:
        """Fetch again when it is known who leads now."""
        self._recovery = asyncio.ensure_future(self._requests.refresh())
        self._recovery.add_done_callback(self._on_recovered)

    def _on_recovered(self, recovery: asyncio.Task[None]) -> None:
        if self._recovery is not recovery:  # closed meanwhile
            return
        self._recovery = None
        error = None if recovery.cancelled() else recovery.exception()
        if error is None:
            self._begin()
        elif isinstance(error, Exception):
            self._fail(error)
