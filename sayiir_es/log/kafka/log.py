"""The log on Apache Kafka: opens an app's topics and hands out appenders and readers.

Module `connection` says why nothing here is an aiokafka producer or consumer,
`topic_rules` what is refused at `open`, and `log.port` what a log promises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from sayiir_es.log.kafka.appender import KafkaAppender, payload_limit
from sayiir_es.log.kafka.connection import (
    EARLIEST,
    LATEST,
    Cluster,
    LeaderConnection,
)
from sayiir_es.log.kafka.log_filter import install_filter
from sayiir_es.log.kafka.opening import CREATION_LIMIT_S, Opening
from sayiir_es.log.kafka.producer import RecordProducer
from sayiir_es.log.kafka.reader import KafkaReader
from sayiir_es.log.kafka.topic_rules import topic_name
from sayiir_es.log.kafka.transactions import read_open_transactions
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.log.port import LogIdentity, NewRecord, OpenTransaction

_logger = structlog.get_logger()

DEFAULT_PARTITIONS = 8
# Longer than `broker.session.timeout.ms` (9 s) and an election: a broker that is lost
# for less time does not cost the claim.
DEFAULT_APPEND_LIMIT_S = 60.0
DEFAULT_PRODUCE_LIMIT_S = 30.0
_COMPACTED = (Topic.DEFINITIONS, Topic.SNAPSHOTS)
_DEFAULT_MESSAGE_BYTES = 1_048_588  # Kafka's `max.message.bytes`


class KafkaLog:
    """The topics of one app on a Kafka cluster; see `log.port.Log`."""

    def __init__(  # noqa: PLR0913 - settings, all by name
        self,
        bootstrap_servers: str,
        *,
        app: str = "sayiir",
        partitions: int = DEFAULT_PARTITIONS,
        replication: int | None = None,
        session_timeout_ms: int = 6000,
        heartbeat_interval_ms: int = 1000,
        append_limit_s: float = DEFAULT_APPEND_LIMIT_S,
        produce_limit_s: float = DEFAULT_PRODUCE_LIMIT_S,
        **client: Any,
    ) -> None:
        """Connect nothing yet.

        Args:
            bootstrap_servers: `host:port`, several with commas between.
            app: the prefix of its topics' names.
            partitions: for a new app; an existing one keeps its own.
            replication: for a new app; None is three, or all brokers when fewer.
            session_timeout_ms: how long the group waits for a silent member.
            heartbeat_interval_ms: how often a member sends a heartbeat.
            append_limit_s: how long an append may take before it is uncertain.
            produce_limit_s: how long `produce` may take.
            client: TLS, SASL and others, as aiokafka's client names them.
        """
        install_filter()
        self.app = app
        self.session_timeout_ms = session_timeout_ms
        self.heartbeat_interval_ms = heartbeat_interval_ms
        self.bootstrap_servers = bootstrap_servers
        self.client_options: dict[str, Any] = client
        self.warnings: tuple[str, ...] = ()
        self._new_partitions = partitions
        self._replication = replication
        self._append_limit_s = append_limit_s
        self._produce_limit_s = produce_limit_s
        self._cluster = Cluster(bootstrap_servers, client)
        self._identity: LogIdentity | None = None
        self._message_limits: Mapping[Topic, int] = {}
        self._producers: dict[tuple[Topic, int], RecordProducer] = {}

    @classmethod
    def for_backend(
        cls,
        bootstrap_servers: str,
        *,
        app: str,
        session_timeout_ms: int,
        heartbeat_interval_ms: int,
        client: Mapping[str, Any],
    ) -> KafkaLog:
        """A log with a backend's settings; `client` as aiokafka's client names it."""
        return cls(
            bootstrap_servers,
            app=app,
            session_timeout_ms=session_timeout_ms,
            heartbeat_interval_ms=heartbeat_interval_ms,
            **client,
        )

    @property
    def partitions(self) -> int:
        """How many partitions `commands` and `events` have."""
        return self._identity.partitions if self._identity else self._new_partitions

    @property
    def max_batch_bytes(self) -> int:
        """The largest batch that `append` takes, in bytes of keys, values, headers."""
        return payload_limit(self._max_message_bytes(Topic.EVENTS))

    def name(self, topic: Topic) -> str:
        """Return Kafka's name of one of the app's topics."""
        return topic_name(self.app, topic)

    async def open(self, *, create: bool) -> LogIdentity:
        """Connect, create all topics if none exists and `create`, check them.

        Raises:
            LogUnavailableError: nothing answers.
            UnsafeLogError: a setting could lose history, the partition count is not
                the recorded one, or some topics are missing; says what to set.
        """
        await self._cluster.open()
        try:
            topics = await Opening(
                self._cluster, self.app, limit_s=CREATION_LIMIT_S
            ).open_app(
                create=create,
                partitions=self._new_partitions,
                replication=self._replication,
            )
        except BaseException:
            await self.close()
            raise
        self._identity = topics.identity
        self._message_limits = topics.message_bytes
        self.warnings = topics.warnings
        for warning in self.warnings:
            _logger.warning("log.setting_warned", app=self.app, setting=warning)
        return topics.identity

    async def open_snapshots(self) -> None:
        """Make the snapshots topic where there is none, and check it.

        Raises:
            LogUnavailableError: nothing answers.
            UnsafeLogError: it could not be made, or a table could not be made of it;
                says what to set.
        """
        opening = Opening(self._cluster, self.app, limit_s=CREATION_LIMIT_S)
        limit = await opening.open_snapshots(
            partitions=self.partitions, replication=self._replication
        )
        self._message_limits = {**self._message_limits, Topic.SNAPSHOTS: limit}

    async def close(self) -> None:
        """Close all connections."""
        producers, self._producers = self._producers, {}
        for producer in producers.values():
            await producer.close()
        await self._cluster.close()

    async def appender(self, partition: int) -> KafkaAppender:
        """A fresh appender for one partition of `events`."""
        return await self._appender(Topic.EVENTS, partition, self._append_limit_s)

    async def reader(self, topic: Topic, partition: int, offset: int) -> KafkaReader:
        """A reader that begins at `offset`, as read_committed gives records."""
        connection = LeaderConnection(self._cluster, self.name(topic), partition)
        return KafkaReader(connection, offset, compacted=topic in _COMPACTED)

    async def start_offset(self, topic: Topic, partition: int) -> int:
        """The first kept offset."""
        connection = LeaderConnection(self._cluster, self.name(topic), partition)
        return await self._cluster.offset(connection.partition, EARLIEST)

    async def end_offset(self, topic: Topic, partition: int) -> int:
        """One above the last record that a reader is given."""
        connection = LeaderConnection(self._cluster, self.name(topic), partition)
        return await self._cluster.offset(connection.partition, LATEST)

    async def open_transactions(
        self, topic: Topic, partition: int
    ) -> tuple[OpenTransaction, ...]:
        """The transactions that are open on a partition.

        Raises:
            LogUnavailableError: its leader did not answer, or cannot tell.
        """
        connection = LeaderConnection(self._cluster, self.name(topic), partition)
        return await read_open_transactions(self._cluster, connection.partition)

    async def produce(self, topic: Topic, partition: int, record: NewRecord) -> int:
        """Write one record outside the claim rule and return its offset.

        Raises:
            LogUnavailableError: it was not acknowledged; it may still land.
            BatchTooLargeError: the log refused its size; nothing was written.
        """
        if topic is Topic.EVENTS:
            raise ValueError("expected events to be appended, but they were produced")
        producer = self._producers.get((topic, partition))
        if producer is None:
            producer = self._producers[topic, partition] = RecordProducer(
                lambda: self._appender(topic, partition, self._produce_limit_s),
                max_message_bytes=self._max_message_bytes(topic),
            )
        return await producer.produce(record)

    async def _appender(
        self, topic: Topic, partition: int, limit_s: float
    ) -> KafkaAppender:
        appender = KafkaAppender(
            LeaderConnection(self._cluster, self.name(topic), partition),
            max_message_bytes=self._max_message_bytes(topic),
            limit_s=limit_s,
        )
        await appender.start()
        return appender

    def _max_message_bytes(self, topic: Topic) -> int:
        return self._message_limits.get(topic, _DEFAULT_MESSAGE_BYTES)
