"""The backend on Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sayiir_es.client.backends.backend import Backend
from sayiir_es.client.backends.framing import with_framing, without_framing
from sayiir_es.client.stores import SlotStores
from sayiir_es.engine.store.state_dir import default_state_dir

if TYPE_CHECKING:
    import os

    from sayiir_es.client.stores import Stores
    from sayiir_es.log.port import Log, Membership


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

        kafka_log = without_framing(log)
        assert isinstance(kafka_log, KafkaLog)
        return KafkaMembership(kafka_log)

    def stores(self) -> Stores:
        """RocksDB in a slot of the state folder, which no other process shares."""
        return SlotStores(self._state_dir, self.app)

    def views(self) -> Stores:
        """As for partitions that are owned, in a slot of its own."""
        return self.stores()
