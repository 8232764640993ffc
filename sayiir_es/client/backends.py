"""Backends: a log and a place for state, as an object or as a URL.

A backend opens logs, memberships and stores for whoever needs them; it also keeps one
session on an event loop of its own, so that synchronous code can use it like a value.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from sayiir_es.client.framing import with_framing, without_framing
from sayiir_es.client.loop_thread import LoopThread
from sayiir_es.client.stores import FolderStores, MemoryStores, SlotStores, Stores
from sayiir_es.engine.store.port import StoreIdentity
from sayiir_es.engine.store.state_dir import default_state_dir
from sayiir_es.log.embedded.lock import OwnerLock
from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.solo import SoloMembership

if TYPE_CHECKING:
    import os
    from collections.abc import Generator
    from types import TracebackType

    from sayiir_es.client.session import Session
    from sayiir_es.log.port import Log, LogIdentity, Membership

DEFAULT_URL = "file:.sayiir/log.db"


class Backend(ABC):
    """A log and a place for state.

    Usable as a context manager, and without one.
    """

    owns_on_call = True
    """Whether a client call may own the log for the call when nobody does."""

    short_view_records = 0
    """A client's view of a partition with fewer records is folded in memory."""

    def __init__(self) -> None:
        self._thread: LoopThread | None = None
        self._session: Session | None = None

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

    def views(self) -> Stores:
        """Where one client keeps the partitions that it only reads."""
        return MemoryStores()

    @property
    def thread(self) -> LoopThread:
        """The event loop on which synchronous calls run."""
        if self._thread is None:
            self._thread = LoopThread(f"sayiir-{type(self).__name__}")
        return self._thread

    @property
    def session(self) -> Session:
        """The session that synchronous calls share."""
        if self._session is None:
            from sayiir_es.client.session import Session  # noqa: PLC0415 (a cycle)

            self._session = Session(self)
        return self._session

    def close(self) -> None:
        """Close the session and its event loop; the log keeps what it holds."""
        thread, session = self._thread, self._session
        self._thread = self._session = None
        if thread is not None:
            if session is not None:
                thread.call(session.close())
            thread.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


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


class KafkaBackend(Backend):
    """Apache Kafka, production's log.

    `state_dir` defaults to the user's state folder, with a slot per process; `client`
    is passed to aiokafka (SASL, TLS).
    """

    owns_on_call = False

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        app: str = "sayiir",
        state_dir: str | os.PathLike[str] | None = None,
        session_timeout_ms: int = 6000,
        heartbeat_interval_ms: int = 1000,
        **client: object,
    ) -> None:
        super().__init__()
        self.bootstrap_servers = bootstrap_servers
        self.app = app
        self._state_dir = Path(state_dir) if state_dir else default_state_dir()
        self._session_timeout_ms = session_timeout_ms
        self._heartbeat_interval_ms = heartbeat_interval_ms
        self._client = client

    @property
    def url(self) -> str:
        """The URL that names this backend."""
        return f"kafka://{self.bootstrap_servers}/{self.app}"

    def open_log(self) -> Log:
        """A log on the cluster."""
        from sayiir_es.log.kafka.log import KafkaLog  # noqa: PLC0415 (slow to import)

        log = KafkaLog.for_backend(
            self.bootstrap_servers,
            app=self.app,
            session_timeout_ms=self._session_timeout_ms,
            heartbeat_interval_ms=self._heartbeat_interval_ms,
            client=self._client,
        )
        return with_framing(log, self.app)

    def membership(self, log: Log) -> Membership:
        """What the consumer group assigns."""
        from sayiir_es.log.kafka.log import KafkaLog  # noqa: PLC0415 (slow to import)
        from sayiir_es.log.kafka.membership import KafkaMembership  # noqa: PLC0415

        bare = without_framing(log)
        assert isinstance(bare, KafkaLog)
        return KafkaMembership(bare)

    def stores(self) -> Stores:
        """RocksDB in a slot of the state folder, which no other process shares."""
        return SlotStores(self._state_dir, self.app)

    def views(self) -> Stores:
        """As for partitions that are owned, in a slot of its own."""
        return self.stores()


def backend_from_url(url: str) -> Backend:
    """The backend that a URL names.

    `memory:` · `file:PATH` · `kafka://HOST:PORT[,HOST:PORT…]/APP`

    Raises:
        ValueError: if it names none.
    """
    if url == "memory:":
        return InMemoryBackend()
    if url.startswith("file:") and len(url) > len("file:"):
        return EmbeddedBackend(url[len("file:") :])
    if url.startswith("kafka://"):
        parts = urlsplit(url)
        if parts.netloc and not parts.query and parts.path.strip("/").count("/") == 0:
            return KafkaBackend(parts.netloc, app=parts.path.strip("/") or "sayiir")
    raise ValueError(
        "expected memory:, file:PATH or kafka://HOST:PORT[,HOST:PORT…]/APP, but "
        f"{url!r}"
    )


def as_backend(backend: object) -> Backend:
    """A backend, from one or from its URL.

    Raises:
        TypeError: if it is neither.
    """
    if isinstance(backend, Backend):
        return backend
    if isinstance(backend, str):
        return backend_from_url(backend)
    raise TypeError(
        "backend must be InMemoryBackend, EmbeddedBackend, KafkaBackend or a URL, but "
        f"{type(backend).__name__}"
    )


@contextmanager
def borrowed(backend: Backend | str) -> Generator[Backend]:
    """A backend for one call; one that a URL made is closed behind it.

    Raises:
        ValueError: if a URL names none.
    """
    used = as_backend(backend)
    try:
        yield used
    finally:
        if used is not backend:
            used.close()


def store_identity(identity: LogIdentity, partition: int) -> StoreIdentity:
    """Whose rows a store of this log's partition holds."""
    return StoreIdentity(
        cluster_id=identity.cluster_id,
        events_topic_id=identity.topics["events"],
        partition=partition,
        partitions=identity.partitions,
    )
