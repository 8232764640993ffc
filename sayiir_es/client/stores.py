"""Where snapshot stores live: in memory, in a folder, or in a slot of one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from sayiir_es.core.model.errors import StoreError
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.store.port import StoreIdentity
from sayiir_es.engine.store.rocks.forked_use import refuse_after_fork
from sayiir_es.engine.store.state_dir import PRIVATE, StateSlot
from sayiir_es.log.embedded.network_disk import unsafe_disk
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from pathlib import Path

    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.engine.store.rocks.store import RocksStore
    from sayiir_es.log.port import LogIdentity

logger = get_logger(__name__)

REASONS_TOLD: set[str] = set()
"""Why stores are in memory, as far as this process has logged it."""


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
        refuse_after_fork()
        try:
            self._folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            os.listdir(self._folder)  # noqa: PTH208 (it is tried only)
        except OSError as error:
            raise StoreError(
                f"expected a writable state directory beside the log, but {error}: run "
                "the workers of one file as one user, on a disk with free space"
            ) from error

    def open(self, identity: StoreIdentity) -> SnapshotStore:
        """The store in the subfolder of the partition's number."""
        self.prepare()
        return open_rocks_store(self._folder / str(identity.partition), identity)

    def close(self) -> None:
        """Nothing to close: the stores are closed by who opened them."""


class SlotStores:
    """RocksDB in the first free slot of a state folder, taken at first use."""

    def __init__(self, state_dir: Path | None, app: str) -> None:
        """Touch nothing yet; a folder that is None is the user's for state."""
        self._state_dir = state_dir
        self._app = app
        self._slot: StateSlot | None = None

    def prepare(self) -> None:
        """Take a slot."""
        refuse_after_fork()
        self._take()

    def open(self, identity: StoreIdentity) -> SnapshotStore:
        """The store in this slot's subfolder of the partition's number."""
        refuse_after_fork()
        path = self._take().partition_path(identity.partition)
        return open_rocks_store(path, identity)

    def _take(self) -> StateSlot:
        if self._slot is None:
            self._slot = StateSlot.take(self._state_dir, self._app)
            kind = unsafe_disk(self._slot.path.absolute())
            if kind is not None:
                logger.warning(
                    "store.place_warned",
                    reason=f"expected {str(self._slot.path)!r} on a disk of this "
                    f"machine, but it is on {kind!r}, whose locks two machines may "
                    "both hold: set SAYIIR_STATE_DIR to a local folder; it holds "
                    "nothing to keep",
                )
        return self._slot

    def close(self) -> None:
        """Give the slot back; its stores stay, and warm the next process."""
        if self._slot is not None:
            self._slot.close()
            self._slot = None


class ClientStores:
    """The stores of a client, which needs no disk: in memory where there is no place.

    What a call needs is then folded from the log by each session.
    """

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def prepare(self) -> None:
        """Nothing to make before a store is needed."""

    def open(self, identity: StoreIdentity) -> SnapshotStore:
        """The store of a partition; logs once why it is in memory if it is."""
        try:
            return self._stores.open(identity)
        except StoreError as error:
            if str(error) not in REASONS_TOLD:
                REASONS_TOLD.add(str(error))
                logger.warning(
                    "store.kept_in_memory",
                    partition=identity.partition,
                    reason=str(error),
                )
            return MemoryStore()

    def close(self) -> None:
        """Give the place back."""
        self._stores.close()


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
    from sayiir_es.engine.store.rocks.store import (  # noqa: PLC0415 (takes 8 MiB)
        RocksStore,
    )

    store = RocksStore.open(path, identity)
    for note in store.notes:
        logger.warning("store.replaced", partition=identity.partition, reason=note)
    return store
