"""Flushes a partition's store behind the log, often enough that groups stay small."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import StoreError
from sayiir_es.engine.store.port import FLUSH_BYTES
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from sayiir_es.engine.clock import Clock
    from sayiir_es.engine.store.port import SnapshotStore

logger = get_logger(__name__)

FLUSH_EVERY_S = 1.0
"""How long an applied change may wait for a flush, in seconds."""

DURABLE_EVERY_S = 5.0
"""How often a flush is made durable, in seconds: what `kill -9` loses is folded again.
A thread does it, in 10-30 ms."""


class WriteBehind:
    """Flushes by age and by size, and makes it durable from time to time."""

    def __init__(self, store: SnapshotStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._flushed_at_s = self._durable_at_s = clock.monotonic_s()
        self._durable: asyncio.Task[None] | None = None

    async def write_if_due(self) -> None:
        """Flush what was applied, if it is old or large enough.

        Raises:
            StoreError: if the disk refuses, or refused what was to be made durable.
        """
        if self._durable is not None and self._durable.done():
            durable, self._durable = self._durable, None
            durable.result()
        now_s = self._clock.monotonic_s()
        due = now_s - self._flushed_at_s >= FLUSH_EVERY_S
        if due or self._store.dirty_bytes >= FLUSH_BYTES:
            self._flushed_at_s = now_s
            # What was applied took its share of this turn of the event loop.
            await asyncio.sleep(0)
            await self._store.flush()
        if now_s - self._durable_at_s < DURABLE_EVERY_S:
            return
        if self._durable is None:
            self._durable_at_s = now_s
            self._durable = asyncio.create_task(self._store.flush(durable=True))

    async def close(self) -> None:
        """Close the store, when a flush that runs has ended.

        Raises:
            StoreError: if the disk refuses.
        """
        durable, self._durable = self._durable, None
        if durable is not None:
            try:
                await durable
            except StoreError as error:  # closing writes what it could not
                logger.warning(
                    "store.flush_failed", error_code=error.code, reason=str(error)
                )
        await self._store.close()
