"""The backend in memory, for tests and first steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.client.backends.backend import Backend
from sayiir_es.client.stores import MemoryStores
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.solo import SoloMembership

if TYPE_CHECKING:
    from sayiir_es.client.stores import Stores
    from sayiir_es.log.port import Log, Membership


class InMemoryBackend(Backend):
    """One process; gone at exit."""

    def __init__(self) -> None:
        super().__init__()
        self._log = MemoryLog()
        self._stores = MemoryStores()

    @property
    def url(self) -> str:
        """The URL that names this backend."""
        return "memory:"

    def __repr__(self) -> str:
        return "InMemoryBackend()"

    def open_log(self) -> Log:
        """The one log of this backend: it serves every event loop of the process."""
        return self._log

    def membership(self, log: Log) -> Membership:
        """All partitions, as soon as no other worker of this backend has them."""
        del log
        return SoloMembership(self._log.owner_lock(), partitions=self._log.partitions)

    def stores(self) -> Stores:
        """The stores of this backend, kept from one owner to the next."""
        return self._stores

    def views(self) -> Stores:
        """Stores of one client, gone with its session."""
        return MemoryStores()
