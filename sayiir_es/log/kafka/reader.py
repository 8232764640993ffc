"""Reads one partition from an offset on: long polls on a lane of its own.

One fetch is always under way while the caller works on what the last one brought. The
broker holds it until there is something, so a record is here a millisecond after it was
acknowledged, and an idle partition costs two requests a second.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka.errors import for_code
from aiokafka.protocol.fetch import FetchRequest

from sayiir_es.core.model.errors import LogUnavailableError, OffsetGoneError
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

    def __init__(self, lane: LeaderConnection, offset: int, *, compacted: bool) -> None:
        self._lane = lane
        self._next = offset
        self._compacted = compacted
        self._fetch: asyncio.Task[CompletedFetch] | None = None
        self._fetched: CompletedFetch | None = None

    async def read(self, *, max_wait_s: float) -> Chunk | None:
        """Return what follows, or None when nothing came within `max_wait_s`.

        Raises:
            OffsetGoneError: the next offset is not in the log.
            LogUnavailableError: the broker refused, or sent damaged bytes.
        """
        if self._fetched is None:
            fetch = self._fetch
            if fetch is None:
                fetch = self._fetch = asyncio.ensure_future(self._poll())
            if not fetch.done():
                await asyncio.wait([fetch], timeout=max_wait_s)
                if not fetch.done():
                    return None
            self._fetch = None
            self._fetched = fetch.result()
        fetched, self._fetched = self._fetched, None
        chunk = fetched.take()
        self._next = chunk.end
        if fetched.empty:
            self._fetch = asyncio.ensure_future(self._poll())
        else:
            self._fetched = fetched
        return chunk

    async def close(self) -> None:
        """Stop reading."""
        fetch, self._fetch = self._fetch, None
        if fetch is not None:
            fetch.cancel()
            # Looked at, so that asyncio does not report an error that nobody waits for.
            await asyncio.gather(fetch, return_exceptions=True)
        self._lane.close()

    async def _poll(self) -> CompletedFetch:
        where = self._lane.partition
        spot = (where.partition, self._next, _FETCH_BYTES)
        request = FetchRequest(
            _FETCH_WAIT_MS, 1, _FETCH_BYTES, READ_COMMITTED, [(where.topic, [spot])]
        )
        while True:
            try:
                answer = await self._lane.send(request)
            except TRANSPORT_ERRORS:
                await self._lane.recover()
                continue
            if not answer.topics:  # the whole answer is an error of the request
                await self._lane.recover()
                continue
            _, code, _, *more = answer.topics[0][1][0]
            if code:
                await self._refused(code)
                continue
            fetched = CompletedFetch(
                self._next, more[-1], more[2], compacted=self._compacted
            )
            if not fetched.empty:
                return fetched

    async def _refused(self, code: int) -> None:
        where = self._lane.partition
        if code == _OFFSET_OUT_OF_RANGE:
            raise OffsetGoneError(
                f"expected offset {self._next} of {where.topic!r} {where.partition}, "
                "but it is outside of what the log holds"
            )
        error = for_code(code)
        if not error.retriable:
            raise LogUnavailableError(
                f"expected to read {where.topic!r} {where.partition}, "
                f"but {error.__name__}"
            )
        await self._lane.recover()
