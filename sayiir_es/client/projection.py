"""A client's own projection of partitions: reads its own writes, owns nothing.

Each partition is folded into a store of the client's own. A call folds what was added
since the call before, up to where the partition ends now; so a second call is cheap.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.fold import Fold
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from sayiir_es.core.model.rows import Rows
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import Log, Reader

READ_WAIT_S = 1.0


class StoreOpener(Protocol):
    """Opens the client's store of a partition."""

    async def __call__(self, partition: int) -> SnapshotStore:
        """Open it; a store that cannot be used gives way to an empty one."""
        ...


class Projection:
    """Folds partitions on demand."""

    def __init__(self, log: Log, open_store: StoreOpener) -> None:
        self._log = log
        self._open_store = open_store
        self._folds: dict[int, tuple[SnapshotStore, Reader]] = {}
        self._locks: dict[int, asyncio.Lock] = {}

    async def get_rows(self, instance_id: str) -> Rows:
        """The rows of an instance, as of the end of its partition now."""
        store = await self.read_to_end(partition_of_instance(self._log, instance_id))
        return store.rows(instance_id)

    async def read_to_end(self, partition: int) -> SnapshotStore:
        """Fold a partition to its end now; the store that holds it."""
        async with self._locks.setdefault(partition, asyncio.Lock()):
            end = await self._log.end_offset(Topic.EVENTS, partition)
            store, reader = await self._open(partition)
            fold = Fold(store, partition)
            while store.position.offset < end:
                chunk = await reader.read(max_wait_s=READ_WAIT_S)
                if chunk is not None:
                    fold.apply(chunk)
                    await asyncio.sleep(0)  # let other tasks of this loop run
            await store.flush()
            return store

    async def wait_for_events(self, instance_id: str, *, max_wait_s: float) -> None:
        """Wait until events were added to the partition of an instance."""
        partition = partition_of_instance(self._log, instance_id)
        async with self._locks.setdefault(partition, asyncio.Lock()):
            store, reader = await self._open(partition)
            chunk = await reader.read(max_wait_s=max_wait_s)
            if chunk is not None:
                Fold(store, partition).apply(chunk)

    async def _open(self, partition: int) -> tuple[SnapshotStore, Reader]:
        if partition not in self._folds:
            store = await self._open_store(partition)
            reader = await self._log.reader(
                Topic.EVENTS, partition, store.position.offset
            )
            self._folds[partition] = (store, reader)
        return self._folds[partition]

    async def close(self) -> None:
        """Close stores and readers."""
        for store, reader in self._folds.values():
            await reader.close()
            await store.close()
        self._folds.clear()


def partition_of_instance(log: Log, instance_id: str) -> int:
    """The partition of an instance."""
    return partition_of(instance_id.encode("utf-8", "surrogatepass"), log.partitions)
