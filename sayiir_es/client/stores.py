"""Where snapshot stores live: in memory, in a folder, or in a slot of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import structlog

from sayiir_es.core.model.errors import StoreError
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.store.port import StoreIdentity
from sayiir_es.engine.store.rocks.store import RocksStore
from sayiir_es.engine.store.state_dir import PRIVATE, StateSlot

if TYPE_CHECKING:
    from pathlib import Path

    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import LogIdentity

logger = structlog.get_logger()


class Stores(Protocol):
    """Opens the store of one partition after the other, for one worker or client."""

    def prepare(self) -> None:
        """Make and take the place before a store is opened.

        Raises:
            StoreError: if there can be none.
        """
        ...

    def open(self, identity: StoreIdentity) -> SnapshotStore:
        """The store of a partition; one that cannot be used gives way to an empty one.

        Raises:
            StoreError: if another process holds it.
        """
        ...

    def close(self) -> None:
        """Give the place back; the stores were closed before."""
        ...


class MemoryStores:
    """One store a partition, gone with this object."""

    def __init__(self) -> None:
        self._stores: dict[int, MemoryStore] = {}

    def prepare(self) -> None:
        """Nothing to make."""

    def open(self, identity: StoreIdentity) -> SnapshotStore:
        """The store of a partition, the same at every call unless it was damaged."""
        store = self._stores.get(identity.partition)
        if store is None or store.is_damaged:
            store = self._stores[identity.partition] = MemoryStore()
        return store

    def close(self) -> None:
        """Nothing to close: the stores are closed by who opened them."""


class FolderStores:
    """RocksDB in a folder that only one process uses at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self) -> None:
        """Make the folder."""
        try:
            self._folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"expected a writable state directory, but {error}"
            ) from error

    def open(self, identity: StoreIdentity) -> SnapshotStore:
        """The store in the subfolder of the partition's number."""
        return open_rocks_store(self._folder / str(identity.partition), identity)

    def close(self) -> None:
        """Nothing to close: the stores are closed by who opened them."""


class SlotStores:
    """RocksDB in the first free slot of a state folder, taken at first use."""

    def __init__(self, state_dir: Path, app: str) -> None:
        self._state_dir = state_dir
        self._app = app
        self._slot: StateSlot | None = None

    def prepare(self) -> None:
        """Take a slot."""
        self._take()

    def open(self, identity: StoreIdentity) -> SnapshotStore:
        """The store in this slot's subfolder of the partition's number."""
        path = self._take().partition_path(identity.partition)
        return open_rocks_store(path, identity)

    def _take(self) -> StateSlot:
        if self._slot is None:
            self._slot = StateSlot.take(self._state_dir, self._app)
        return self._slot

    def close(self) -> None:
        """Give the slot back; its stores stay, and warm the next process."""
        if self._slot is not None:
            self._slot.close()
            self._slot = None


def store_identity(identity: LogIdentity, partition: int) -> StoreIdentity:
    """The identity that a store of this log's partition must have."""
    return StoreIdentity(
        cluster_id=identity.cluster_id,
        events_topic_id=identity.topics["events"],
        partition=partition,
        partitions=identity.partitions,
    )


def open_rocks_store(path: Path, identity: StoreIdentity) -> RocksStore:
    """A store in RocksDB; logs why the one that stood there was replaced."""
    store = RocksStore.open(path, identity)
    for note in store.notes:
        logger.warning("store.replaced", partition=identity.partition, reason=note)
    return store
