"""The backend in one SQLite file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sayiir_es.client.backends.backend import Backend
from sayiir_es.client.stores import FolderStores, SlotStores
from sayiir_es.log.embedded.lock import OwnerLock
from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.solo import SoloMembership

if TYPE_CHECKING:
    import os

    from sayiir_es.client.stores import Stores
    from sayiir_es.log.port import Log, Membership


class EmbeddedBackend(Backend):
    """One SQLite file, snapshots in a directory beside it; survives `kill -9`.

    One process owns it as worker, others are clients.
    """

    short_view_records = 20_000  # a quarter of a second: not worth a store

    def __init__(self, path: str | os.PathLike[str] = ".sayiir/log.db") -> None:
        super().__init__()
        self.path = Path(path)

    @property
    def url(self) -> str:
        """The URL that names this backend."""
        return f"file:{self.path}"

    def open_log(self) -> Log:
        """A log on the file."""
        return EmbeddedLog(self.path)

    def membership(self, log: Log) -> Membership:
        """All partitions, as soon as this process holds the file's owner lock."""
        del log
        return SoloMembership(OwnerLock(self.path))

    def stores(self) -> Stores:
        """RocksDB beside the file; only the holder of the owner lock opens it."""
        return FolderStores(self.path.with_name(self.path.name + ".state"))

    def views(self) -> Stores:
        """RocksDB beside the file, in a slot that no other client shares."""
        return SlotStores(self.path.with_name(self.path.name + ".views"), "clients")
