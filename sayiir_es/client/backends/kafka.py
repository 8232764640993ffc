"""The backend on Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sayiir_es.backend_url import expected_backend
from sayiir_es.client.backend_port import CONNECT_LIMIT_S
from sayiir_es.client.backends.backend import Backend
from sayiir_es.client.backends.framing import with_framing, without_framing
from sayiir_es.client.stores import SlotStores
from sayiir_es.core.model.errors import SettingsError
from sayiir_es.environment import settings_where_set

if TYPE_CHECKING:
    import os

    from sayiir_es.client.stores import Stores
    from sayiir_es.log.kafka.log import KafkaLog
    from sayiir_es.log.port import Log, Membership
    from sayiir_es.wire.payload_codec import Codecs


class KafkaBackend(Backend):
    """Apache Kafka, production's log.

    `state_dir` defaults to the user's state folder, with a slot per process. How
    brokers are reached (TLS, SASL, times) says `config`, a `client.properties`; without
    it the one that `SAYIIR_KAFKA_CONFIG` names. `SAYIIR_KAFKA_…` win over the file, and
    the arguments here over both; `client` is passed to aiokafka. `codec` as for every
    `Backend`.

    Raises:
        ValueError: if `bootstrap_servers` holds a user and a password.
    """

    owns_on_call = False

    def __init__(  # noqa: PLR0913 (one parameter an option)
        self,
        bootstrap_servers: str,
        *,
        app: str = "sayiir",
        state_dir: str | os.PathLike[str] | None = None,
        config: str | os.PathLike[str] | None = None,
        session_timeout_ms: int | None = None,
        heartbeat_interval_ms: int | None = None,
        group_instance_id: str | None = None,
        codec: Codecs | None = None,
        **client: object,
    ) -> None:
        super().__init__(codec)
        if "@" in bootstrap_servers:
            raise ValueError(expected_backend(f"kafka://{bootstrap_servers}/{app}"))
        self.bootstrap_servers = bootstrap_servers
        self.app = app
        self._config = None if config is None else Path(config)
        self._state_dir = Path(state_dir) if state_dir else None
        self._session_timeout_ms = session_timeout_ms
        self._heartbeat_interval_ms = heartbeat_interval_ms
        self._group_instance_id = group_instance_id
        self._client = client

    @property
    def url(self) -> str:
        """The URL that names this backend."""
        return f"kafka://{self.bootstrap_servers}/{self.app}"

    def set_session(
        self,
        *,
        timeout_s: float | None,
        heartbeat_s: float | None,
        group_instance_id: str | None = None,
    ) -> None:
        """Let the group wait so long for a silent worker, and know it by this name.

        Times in seconds. None is what is configured.

        Raises:
            SettingsError: if it can be no such name.
        """
        if group_instance_id is not None:
            from sayiir_es.log.kafka.client_config import (  # noqa: PLC0415 (slow)
                GROUP_INSTANCE_ID_FORM,
                is_group_instance_id,
            )

            if not is_group_instance_id(group_instance_id):
                raise SettingsError(
                    f"--group-instance-id: expected {GROUP_INSTANCE_ID_FORM}, but "
                    f"{group_instance_id!r:.50}"
                )
            self._group_instance_id = group_instance_id
        if timeout_s is not None:
            self._session_timeout_ms = round(timeout_s * 1000)
        if heartbeat_s is not None:
            self._heartbeat_interval_ms = round(heartbeat_s * 1000)

    def warnings(self) -> tuple[str, ...]:
        """What the file and the environment say in vain, a sentence each.

        Raises:
            SettingsError: if the file or the environment cannot be used.
        """
        from sayiir_es.client.backends.kafka_settings import (  # noqa: PLC0415 (slow)
            configured,
        )

        return configured(self._config).warnings

    def open_log(
        self, *, connect_limit_s: float = CONNECT_LIMIT_S, **settings: Any
    ) -> Log:
        """A log on the cluster; `settings` as `KafkaLog` names them.

        Raises:
            SettingsError: if the file or the environment cannot be used.
        """
        log = self.open_kafka_log(connect_limit_s=connect_limit_s, **settings)
        return with_framing(log, self.app)

    def open_kafka_log(
        self, *, connect_limit_s: float = CONNECT_LIMIT_S, **settings: Any
    ) -> KafkaLog:
        """As `open_log`, without the framing that the environment asks for.

        Raises:
            SettingsError: if the file or the environment cannot be used.
        """
        from sayiir_es.client.backends.kafka_settings import (  # noqa: PLC0415 (slow)
            configured,
        )
        from sayiir_es.log.kafka.log import KafkaLog  # noqa: PLC0415 (slow to import)

        config = configured(self._config)
        settings_set = settings_where_set("SAYIIR_KAFKA_CONNECT_LIMIT")
        limit_s = settings_set and settings_set.kafka_connect_limit
        return KafkaLog.configured(
            self.bootstrap_servers,
            config,
            app=self.app,
            session_timeout_ms=self._session_timeout_ms,
            heartbeat_interval_ms=self._heartbeat_interval_ms,
            group_instance_id=self._group_instance_id,
            connect_limit_s=connect_limit_s if limit_s is None else limit_s,
            on_wait=self.on_notice,
            client=self._client,
            **settings,
        )

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
