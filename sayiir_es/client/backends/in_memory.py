"""The backend in memory, for tests and first steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.client.backend_port import CONNECT_LIMIT_S
from sayiir_es.client.backends.backend import Backend
from sayiir_es.client.stores import MemoryStores
from sayiir_es.core.model.errors import BackendError
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.solo import SoloMembership

if TYPE_CHECKING:
    from sayiir_es.client.stores import Stores
    from sayiir_es.log.port import Log, Membership
    from sayiir_es.wire.payload_codec import Codecs


class InMemoryBackend(Backend):
    """One process; gone at exit. `codec` as for every `Backend`."""

    def __init__(self, *, codec: Codecs | None = None) -> None:
        super().__init__(codec)
        self._log = MemoryLog(
            is_made=True
        )  # there is no other one that it could be taken for
        self._stores = MemoryStores()
        self._is_used = self._is_of_parent = False

    def leave_to_parent(self) -> None:
        """Be of no more use in a forked child, if the parent has used it."""
        super().leave_to_parent()
        self._is_of_parent = self._is_used

    @property
    def url(self) -> str:
        """The URL that names this backend."""
        return "memory:"

    def __repr__(self) -> str:
        return "InMemoryBackend()"

    def open_log(self, *, connect_limit_s: float = CONNECT_LIMIT_S) -> Log:
        """The one log of this backend: it serves every event loop of the process.

        Raises:
            BackendError: if it is in the memory of a process that forked this one.
        """
        del connect_limit_s
        if self._is_of_parent:
            raise BackendError(
                "expected an InMemoryBackend of this process, but its parent used it "
                "before the fork, and has what it holds: make one in the child, or "
                "choose file: or kafka:// to share one"
            )
        self._is_used = True
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
