"""Reads one partition from an offset on: long polls on its own connection.

One fetch is always under way while the caller works on the records of the last one. The
broker holds the request until there is a record, so a record is here a millisecond
after it was acknowledged, and an idle partition costs two requests a second.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka.protocol.fetch import FetchRequest

from sayiir_es.core.model.errors import OffsetGoneError
from sayiir_es.log.kafka.access import refusal_of
from sayiir_es.log.kafka.completed_fetch import CompletedFetch
from sayiir_es.log.kafka.connection import READ_COMMITTED, TRANSPORT_ERRORS

if TYPE_CHECKING:
    from sayiir_es.log.kafka.connection import LeaderConnection
    from sayiir_es.log.port import Chunk

_FETCH_BYTES = 1 << 20
_FETCH_WAIT_MS = 500
_OFFSET_OUT_OF_RANGE = 1


class KafkaReader:
    """One reader of one partition; see `log.port.Reader`."""

    def __init__(
        self, connection: LeaderConnection, offset: int, *, compacted: bool
    ) -> None:
        self._connection = connection
        self._next = offset
        self._compacted = compacted
        self._fetch: asyncio.Task[CompletedFetch] | None = None
        self._completed: CompletedFetch | None = None

    async def read(self, *, max_wait_s: float) -> Chunk | None:
        """Return what follows, or None when nothing came within `max_wait_s`.

        Raises:
            OffsetGoneError: the next offset is not in the log.
            LogRefusedError: the broker refused.
            LogUnavailableError: it sent damaged bytes.
        """
        if self._completed is None:
            fetch = self._fetch
            if fetch is None:
                fetch = self._fetch = asyncio.ensure_future(self._poll())
            if not fetch.done():
                await asyncio.wait([fetch], timeout=max_wait_s)
                if not fetch.done():
                    return None
            self._fetch = None
            self._completed = fetch.result()
        completed, self._completed = self._completed, None
        chunk = completed.take()
        self._next = chunk.end
        if completed.empty:
            self._fetch = asyncio.ensure_future(self._poll())
        else:
            self._completed = completed
        return chunk

    async def close(self) -> None:
        """Stop reading."""
        fetch, self._fetch = self._fetch, None
        if fetch is not None:
            fetch.cancel()
            # Its error is read, so that asyncio does not report it as never retrieved.
            await asyncio.gather(fetch, return_exceptions=True)
        self._connection.close()

    async def _poll(self) -> CompletedFetch:
        topic_partition = self._connection.partition
        partition_request = (topic_partition.partition, self._next, _FETCH_BYTES)
        request = FetchRequest(
            _FETCH_WAIT_MS,
            1,
            _FETCH_BYTES,
            READ_COMMITTED,
            [(topic_partition.topic, [partition_request])],
        )
        while True:
            try:
                response = await self._connection.send(request)
            except TRANSPORT_ERRORS:
                await self._connection.recover()
                continue
            if not response.topics:  # the whole answer is an error of the request
                await self._connection.recover()
                continue
            _, code, _, *more = response.topics[0][1][0]
            if code:
                await self._handle_refusal(code)
                continue
            completed = CompletedFetch(
                self._next, more[-1], more[2], compacted=self._compacted
            )
            if not completed.empty:
                return completed

    async def _handle_refusal(self, code: int) -> None:
        topic, partition = self._connection.partition
        if code == _OFFSET_OUT_OF_RANGE:
            raise OffsetGoneError(
                f"expected offset {self._next} of {topic!r} {partition}, "
                "but it is outside of what the log holds"
            )
        refusal = refusal_of(
            code,
            f"read {topic!r} {partition}",
            operation="Read",
            name=topic,
            options=self._connection.options,
        )
        if refusal is not None:
            raise refusal
        await self._connection.recover()
