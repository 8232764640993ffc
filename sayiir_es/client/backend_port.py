"""What a session needs of a backend: a log, memberships, and places for stores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sayiir_es.client.stores import Stores
    from sayiir_es.log.port import Log, Membership

DEFAULT_URL = "file:.sayiir/log.db"
"""The URL of the backend where none is named."""


class BackendPort(ABC):
    """Opens logs, memberships and stores for whoever needs them."""

    owns_on_call = True
    """Whether a client call may own the log for the call when nobody does."""

    short_view_records = 0
    """A client's view of a partition with fewer records is folded in memory."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL that names this backend."""

    @abstractmethod
    def open_log(self) -> Log:
        """A log for one event loop."""

    @abstractmethod
    def membership(self, log: Log) -> Membership:
        """A membership for one worker."""

    @abstractmethod
    def stores(self) -> Stores:
        """Where one worker keeps the partitions that it owns."""

    @abstractmethod
    def views(self) -> Stores:
        """Where one client keeps the partitions that it only reads."""
