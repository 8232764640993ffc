"""What a session needs of a backend: a log, memberships, and places for stores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from sayiir_es.wire.payload_codec import JSON_PAYLOADS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.client.stores import Stores
    from sayiir_es.log.port import Log, Membership
    from sayiir_es.wire.payload_codec import Payloads

CONNECT_LIMIT_S = 30.0
"""How long a client waits for the first broker that answers."""

WORKER_CONNECT_LIMIT_S = 300.0
"""The same for whoever serves: it is often started together with its brokers."""

DEFAULT_URL = "file:.sayiir/log.db"
"""The URL of the backend where none is named."""


class BackendPort(ABC):
    """Opens logs, memberships and stores for whoever needs them."""

    owns_on_call = True
    """Whether a client call may own the log for the call when nobody does."""

    payloads: Payloads = JSON_PAYLOADS
    """How values become what stands in the log."""

    short_view_records = 0
    """A client's view of a partition with fewer records is folded in memory."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL that names this backend."""

    on_notice: Callable[[str], None] | None = None
    """Is told, beside the log lines, what a call waits for: for people at terminals."""

    @abstractmethod
    def open_log(self, *, connect_limit_s: float = CONNECT_LIMIT_S) -> Log:
        """A log for one event loop.

        `connect_limit_s` is how long to wait for the first broker that answers, if the
        settings do not say.
        """

    @abstractmethod
    def membership(self, log: Log) -> Membership:
        """A membership for one worker."""

    @abstractmethod
    def stores(self) -> Stores:
        """Where one worker keeps the partitions that it owns."""

    @abstractmethod
    def views(self) -> Stores:
        """Where one client keeps the partitions that it only reads."""
