"""The backend in one SQLite file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sayiir_es.client.backend_port import CONNECT_LIMIT_S
from sayiir_es.client.backends.backend import Backend
from sayiir_es.client.stores import FolderStores, SlotStores
from sayiir_es.environment import settings_where_set
from sayiir_es.log.embedded.file import ANY_DISK_VARIABLE
from sayiir_es.log.embedded.file_mode import MODES, PRIVATE
from sayiir_es.log.embedded.lock import OwnerLock
from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.solo import SoloMembership

if TYPE_CHECKING:
    import os

    from sayiir_es.client.stores import Stores
    from sayiir_es.log.port import Log, Membership
    from sayiir_es.wire.payload_codec import Codecs

ACCESS_VARIABLE = "SAYIIR_FILE_ACCESS"

_VARIABLES = (ACCESS_VARIABLE, ANY_DISK_VARIABLE)


class EmbeddedBackend(Backend):
    """One SQLite file, snapshots in a directory beside it; survives `kill -9`.

    One process owns it as worker, others are clients. `codec` as for every `Backend`.
    """

    short_view_records = 20_000  # a quarter of a second: not worth a store

    def __init__(
        self,
        path: str | os.PathLike[str] = ".sayiir/log.db",
        *,
        codec: Codecs | None = None,
    ) -> None:
        super().__init__(codec)
        self.path = Path(path)
        # The same file, wherever the process goes while it is open.
        self._file = self.path.absolute()

    @property
    def url(self) -> str:
        """The URL that names this backend."""
        return f"file:{self.path}"

    @property
    def key(self) -> str:
        """The same for every backend of one file."""
        return f"file:{self._file}"

    def open_log(self, *, connect_limit_s: float = CONNECT_LIMIT_S) -> Log:
        """A log on the file.

        Raises:
            SettingsError: if the environment cannot be used.
        """
        del connect_limit_s
        mode, on_any_disk = _configured()
        return EmbeddedLog(self._file, mode=mode, on_any_disk=on_any_disk)

    def membership(self, log: Log) -> Membership:
        """All partitions, as soon as this process holds the file's owner lock."""
        del log
        return SoloMembership(OwnerLock(self._file))

    def stores(self) -> Stores:
        """RocksDB beside the file; only the holder of the owner lock opens it."""
        return FolderStores(self._file.with_name(self._file.name + ".state"))

    def views(self) -> Stores:
        """RocksDB beside the file, in a slot that no other client shares."""
        return SlotStores(self._file.with_name(self._file.name + ".views"), "clients")


def _configured() -> tuple[int, bool]:
    """The mode of a new file, and whether it may lie on any disk."""
    settings = settings_where_set(*_VARIABLES)
    if settings is None:
        return PRIVATE, False
    return MODES[settings.file_access], settings.file_on_any_disk
