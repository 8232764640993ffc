"""A client's own projection of partitions: reads its own writes, owns nothing.

Each partition is folded into a store of the client's own. A call folds what was added
since the call before, up to where the partition ends now; so a second call is cheap. A
store that is damaged, or was folded from another log, gives way to an empty one: at
once where the fold finds out, else at the next call (`read_again`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from sayiir_es.core.model.errors import StoreError
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.fold import Fold, check_end
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sayiir_es.core.model.rows import Rows
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import Log, Reader

T = TypeVar("T")

READ_WAIT_S = 1.0

DIRTY_BYTES_MAX = 512 * 1024
"""How many bytes of changes a fold holds in memory before they are written."""


class StoreOpener(Protocol):
    """Opens the client's store of a partition."""

    async def __call__(self, partition: int) -> SnapshotStore:
        """Open it; a store that cannot be used gives way to an empty one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    """The store of a partition, and what folds into it."""

    store: SnapshotStore
    fold: Fold
    reader: Reader


class Projection:
    """Folds partitions on demand."""

    def __init__(self, log: Log, open_store: StoreOpener) -> None:
        self._log = log
        self._open_store = open_store
        self._open_folds: dict[int, _Open] = {}
        self._locks: dict[int, asyncio.Lock] = {}

    async def get_rows(self, instance_id: str) -> Rows:
        """The rows of an instance, as of the end of its partition now."""
        store = await self.read_to_end(partition_of_instance(self._log, instance_id))
        return store.rows(instance_id)

    async def read_to_end(self, partition: int) -> SnapshotStore:
        """Fold a partition to its end now; the store that holds it.

        Raises:
            LogWentBackwardsError: if the log ends before what the store has folded.
        """
        async with self._locks.setdefault(partition, asyncio.Lock()):
            return await read_again(lambda: self._read_to_end(partition))

    async def wait_for_events(self, instance_id: str, *, max_wait_s: float) -> None:
        """Wait until events were added to the partition of an instance."""
        partition = partition_of_instance(self._log, instance_id)
        async with self._locks.setdefault(partition, asyncio.Lock()):
            opened = await self._opened(partition)
            chunk = await opened.reader.read(max_wait_s=max_wait_s)
            if chunk is not None:
                with suppress(StoreError):  # the next call opens it again
                    opened.fold.apply(chunk)

    async def _read_to_end(self, partition: int) -> SnapshotStore:
        opened = await self._opened(partition)
        store, fold = opened.store, opened.fold
        end = await self._log.end_offset(Topic.EVENTS, partition)
        check_end(store.position, partition, end)
        while store.position.offset < end or not fold.is_confirmed:
            chunk = await opened.reader.read(max_wait_s=READ_WAIT_S)
            if chunk is not None:
                fold.apply(chunk)
                if store.dirty_bytes > DIRTY_BYTES_MAX:
                    await store.flush()
                await asyncio.sleep(0)  # let other tasks of this loop run
        await store.flush()
        return store

    async def _opened(self, partition: int) -> _Open:
        opened = self._open_folds.get(partition)
        if opened is not None and opened.store.is_damaged:
            del self._open_folds[partition]
            await _close(opened)
            opened = None
        if opened is None:
            store = await self._open_store(partition)
            fold = Fold(store, partition, self._log.partitions)
            reader = await self._log.reader(Topic.EVENTS, partition, fold.start)
            opened = _Open(store=store, fold=fold, reader=reader)
            self._open_folds[partition] = opened
        return opened

    async def close(self) -> None:
        """Close stores and readers."""
        for opened in self._open_folds.values():
            await opened.reader.close()
            await opened.store.close()
        self._open_folds.clear()


async def _close(opened: _Open) -> None:
    await opened.reader.close()
    with suppress(StoreError):  # what it holds is of no use any more
        await opened.store.close()


async def read_again(read: Callable[[], Awaitable[T]]) -> T:
    """Read stores; a second time where one is damaged, which gives way to an empty one.

    Raises:
        StoreError: if the machine refuses.
    """
    try:
        return await read()
    except StoreError:
        return await read()


def partition_of_instance(log: Log, instance_id: str) -> int:
    """The partition of an instance."""
    return partition_of(instance_id.encode("utf-8", "surrogatepass"), log.partitions)
