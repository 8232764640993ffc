"""A standalone projector: folds partitions into stores, and owns nothing.

Theory of operation. It reads events like any consumer and folds by the claim rule, so
it may run beside any number of owners and other projectors. Stores are flushed behind
the log in groups; once a second a flush is durable, so that other processes that read
the files see it. A partition that cannot be folded stops, with an error that says why;
the others go on. A log that does not answer is read again. A store that fails during
the fold (a full disk, a damaged file) is opened again until it works; a damaged one, or
one that was folded from another log than this, is replaced by an empty one then. Nobody
has to restart anything.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from sayiir_es.core.model.errors import (
    HistoryError,
    LogRefusedError,
    LogUnavailableError,
    OffsetGoneError,
    StoreError,
)
from sayiir_es.engine.backoff import Backoff
from sayiir_es.engine.fold import Fold, check_end
from sayiir_es.engine.store.port import FLUSH_BYTES
from sayiir_es.log.port import Topic
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import Log, Reader

logger = get_logger(__name__)

FLUSH_S = 1.0
"""How often a flush is made durable, in seconds: how old what others read may be."""


class StoreOpener(Protocol):
    """Opens the projector's store of a partition."""

    async def __call__(self, partition: int) -> SnapshotStore:
        """Open it; a store that cannot be used is replaced by an empty one.

        Raises:
            StoreError: if the disk refuses, or another process uses the store.
        """
        ...


class Projector:
    """Folds the given partitions of a log until it is stopped."""

    def __init__(self, log: Log, open_store: StoreOpener) -> None:
        self.stopped: dict[int, str] = {}
        """Partitions that cannot go on here, each with the reason."""
        self.stores: dict[int, SnapshotStore] = {}
        """The open stores, by partition."""
        self._log = log
        self._open_store = open_store
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._caught_up: dict[int, asyncio.Event] = {}
        self._stopping = False

    def start(self, partitions: Iterable[int]) -> None:
        """Begin to fold partitions."""
        for partition in partitions:
            self._caught_up[partition] = asyncio.Event()
            self._tasks[partition] = asyncio.create_task(
                self._supervise(partition), name=f"projector-{partition}"
            )

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions that it was told to fold."""
        return tuple(self._caught_up)

    def has_caught_up(self, partition: int) -> bool:
        """Whether a partition was folded to the end that it had at its start."""
        return self._caught_up[partition].is_set()

    async def wait_until_caught_up(self) -> None:
        """Wait until each partition is folded to the end that it had at its start.

        A partition that stopped counts as well: see `stopped`.
        """
        for event in self._caught_up.values():
            await event.wait()

    async def wait_until_ended(self) -> None:
        """Wait until every partition has stopped by an error."""
        await asyncio.gather(*self._tasks.values())

    async def stop(self) -> None:
        """Flush what is folded and close stores and readers."""
        self._stopping = True
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()

    async def _supervise(self, partition: int) -> None:
        try:
            await self._keep_up(partition)
        except (HistoryError, LogRefusedError, OffsetGoneError, StoreError) as error:
            self.stopped[partition] = str(error)
            logger.error(  # noqa: TRY400 (the message says where; a stack would not)
                "partition.stopped",
                partition=partition,
                error_code=error.code,
                reason=str(error),
            )
        finally:
            self._caught_up[partition].set()

    async def _keep_up(self, partition: int) -> None:
        """Fold a partition; a store that worked once is opened again when it fails.

        Raises:
            StoreError: if it never opened, or fails while the projector stops.
        """
        has_opened, backoff = False, Backoff(f"store {partition}")
        while True:
            try:
                store = await self._open_store(partition)
                has_opened = True
                self.stores[partition] = store
                try:
                    await self._follow(partition, store)
                finally:
                    del self.stores[partition]
                    await store.close()
            except StoreError as error:
                # A store that fails while it is closed hides a cancel, which holds.
                if not has_opened or self._stopping or _is_cancelled():
                    raise
                logger.warning(
                    "projector.store_failed",
                    partition=partition,
                    error_code=error.code,
                    reason=str(error),
                )
            await backoff.pause()

    async def _follow(self, partition: int, store: SnapshotStore) -> None:
        """Fold without end; open the reader again when the log did not answer."""
        backoff = Backoff(f"log {partition}")
        while True:
            try:
                fold = Fold(store, partition, self._log.partitions)
                end = await self._log.end_offset(Topic.EVENTS, partition)
                check_end(store.position, partition, end)
                reader = await self._log.reader(Topic.EVENTS, partition, fold.start)
                try:
                    await self._fold(partition, store, fold, reader)
                finally:
                    await reader.close()
            except LogUnavailableError as error:
                logger.warning(
                    "projector.log_missed",
                    partition=partition,
                    error_code=error.code,
                    reason=str(error),
                )
            await backoff.pause()

    async def _fold(
        self, partition: int, store: SnapshotStore, fold: Fold, reader: Reader
    ) -> None:
        end = await self._log.end_offset(Topic.EVENTS, partition)
        now_s = asyncio.get_running_loop().time
        flushed_s, flushed = now_s(), store.position.offset
        while True:
            if store.position.offset >= end and fold.is_confirmed:
                if not self._caught_up[partition].is_set():
                    await store.flush(durable=True)
                    flushed = store.position.offset
                self._caught_up[partition].set()
            chunk = await reader.read(max_wait_s=FLUSH_S)
            if chunk is not None:
                for _ in fold.portions(chunk):
                    await _flush_if_large(store)
                await _flush_if_large(store)
            due = now_s() - flushed_s >= FLUSH_S
            if due and store.position.offset != flushed:
                await store.flush(durable=True)
                flushed_s, flushed = now_s(), store.position.offset


def _is_cancelled() -> bool:
    """Whether the task that calls is to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _flush_if_large(store: SnapshotStore) -> None:
    """Give others a turn; then write what was applied, so that batches stay small."""
    await asyncio.sleep(0)
    if store.dirty_bytes >= FLUSH_BYTES:
        await store.flush()
        await asyncio.sleep(0)
