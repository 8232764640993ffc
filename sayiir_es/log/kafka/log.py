"""The log on Apache Kafka: opens an app's topics and hands out appenders and readers.

Module `connection` says why nothing here is an aiokafka producer or consumer,
`topic_rules` what is refused at `open`, and `log.port` what a log promises.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiokafka.structs import TopicPartition

from sayiir_es.core.model.errors import LogUnavailableError, SettingsError
from sayiir_es.log.forked_child import leave_kafka_sockets_at_fork
from sayiir_es.log.kafka.append_requests import AppendRequests
from sayiir_es.log.kafka.appender import KafkaAppender, batch_limit
from sayiir_es.log.kafka.connection import (
    BACKOFF_S,
    CONNECT_LIMIT_S,
    CONNECT_SETTING,
    EARLIEST,
    LATEST,
    Cluster,
)
from sayiir_es.log.kafka.fetch_requests import FetchRequests
from sayiir_es.log.kafka.log_filter import hide_secrets
from sayiir_es.log.kafka.opening import CREATION_LIMIT_S, Opening, partitions_raised
from sayiir_es.log.kafka.producer import RecordProducer
from sayiir_es.log.kafka.reader import KafkaReader
from sayiir_es.log.kafka.repair import AppRepair, RepairPlan
from sayiir_es.log.kafka.request_topics import KafkaRequestTopics
from sayiir_es.log.kafka.setting_rules import refuse_faults
from sayiir_es.log.kafka.topic_admin import delete_records
from sayiir_es.log.kafka.topic_rules import topic_name
from sayiir_es.log.kafka.transactions import find_held_back, read_open_transactions
from sayiir_es.log.port import Topic
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sayiir_es.log.kafka.client_config import ClientConfig
    from sayiir_es.log.kafka.opening import AppTopics
    from sayiir_es.log.kafka.setting_rules import TopicFinding
    from sayiir_es.log.port import LogIdentity, NewRecord, OpenTransaction

_logger = get_logger(__name__)

DEFAULT_PARTITIONS = 8
DEFAULT_SESSION_TIMEOUT_MS = 6000
DEFAULT_HEARTBEAT_INTERVAL_MS = 1000
# Longer than `broker.session.timeout.ms` (9 s) and an election: a broker that is lost
# for less time does not cost the claim.
DEFAULT_APPEND_LIMIT_S = 60.0
DEFAULT_PRODUCE_LIMIT_S = 30.0
OPEN_AGAIN_S = 2.0
"""After so many seconds a broker that did not answer for the app is asked again."""

_COMPACTED = (Topic.DEFINITIONS, Topic.SNAPSHOTS)
_DEFAULT_MESSAGE_BYTES = 1_048_588  # Kafka's `max.message.bytes`


@dataclass(frozen=True, slots=True, kw_only=True)
class StrayCommands:
    """Commands on a partition that the app does not have: offsets `start` to `end`."""

    partition: int
    start: int
    end: int


class KafkaLog:
    """The topics of one app on a Kafka cluster; see `log.port.Log`."""

    def __init__(  # noqa: PLR0913 - settings, all by name
        self,
        bootstrap_servers: str,
        *,
        app: str = "sayiir",
        partitions: int = DEFAULT_PARTITIONS,
        replication: int | None = None,
        session_timeout_ms: int = DEFAULT_SESSION_TIMEOUT_MS,
        heartbeat_interval_ms: int = DEFAULT_HEARTBEAT_INTERVAL_MS,
        group_instance_id: str | None = None,
        append_limit_s: float = DEFAULT_APPEND_LIMIT_S,
        produce_limit_s: float = DEFAULT_PRODUCE_LIMIT_S,
        connect_limit_s: float = CONNECT_LIMIT_S,
        on_wait: Callable[[str], None] | None = None,
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
            group_instance_id: the name of a static member; None is none.
            append_limit_s: how long an append may take before it is uncertain.
            produce_limit_s: how long `produce` may take.
            connect_limit_s: how long `open` waits for a broker that answers.
            on_wait: is told in words what is waited for, beside the log lines.
            client: TLS, SASL and others, as aiokafka's client names them.
        """
        hide_secrets()
        self.app = app
        self.session_timeout_ms = session_timeout_ms
        self.heartbeat_interval_ms = heartbeat_interval_ms
        self.group_instance_id = group_instance_id
        self.bootstrap_servers = bootstrap_servers
        self.client_options: dict[str, Any] = client
        self.warnings: tuple[str, ...] = ()
        self.findings: tuple[TopicFinding, ...] = ()
        """The judgement of its topics."""
        self._new_partitions = partitions
        self._replication = replication
        self._append_limit_s = append_limit_s
        self._connect_limit_s = connect_limit_s
        self._on_wait = on_wait
        self._counts: dict[Topic, int] = {}
        self._cluster = Cluster(bootstrap_servers, client)
        self._identity: LogIdentity | None = None
        self._message_limits: Mapping[Topic, int] = {}
        self.appends = AppendRequests(self._cluster)
        self.fetches = FetchRequests(self._cluster)
        self._producer = RecordProducer(
            self._cluster, self.appends, limit_s=produce_limit_s
        )
        self.request_topics = KafkaRequestTopics(
            self,
            opening=self._opening,
            opened=self._add_message_limits,
            post=self._post,
            size=lambda: (self.partitions, self._replication),
            message_bytes=self._max_message_bytes,
        )

    def set_new_partitions(self, partitions: int) -> None:
        """Make the app with so many partitions, if `open` is to make it."""
        self._new_partitions = partitions

    @classmethod
    def configured(
        cls,
        bootstrap_servers: str,
        config: ClientConfig,
        *,
        client: Mapping[str, Any],
        **settings: Any,
    ) -> KafkaLog:
        """A log as a configuration says; `client` and `settings` win over it.

        A setting of None is not set.

        Raises:
            SettingsError: if two times do not fit each other.
        """
        for warning in config.warnings:
            _logger.warning("log.setting_warned", setting=warning)
        delivery_ms = config.delivery_timeout_ms
        own: dict[str, Any] = {
            "session_timeout_ms": config.session_timeout_ms,
            "heartbeat_interval_ms": config.heartbeat_interval_ms,
            "group_instance_id": config.group_instance_id,
            "produce_limit_s": None if delivery_ms is None else delivery_ms / 1000,
        }
        own |= {name: value for name, value in settings.items() if value is not None}
        own = {name: value for name, value in own.items() if value is not None}
        session_ms = own.get("session_timeout_ms", DEFAULT_SESSION_TIMEOUT_MS)
        heartbeat_ms = own.setdefault(
            "heartbeat_interval_ms",
            min(DEFAULT_HEARTBEAT_INTERVAL_MS, max(session_ms // 3, 1)),
        )
        if heartbeat_ms >= session_ms:
            raise SettingsError(
                f"expected a heartbeat interval below the session time-out of "
                f"{session_ms} ms, but {heartbeat_ms} ms: set a third of it or less "
                "(SAYIIR_HEARTBEAT_INTERVAL, --heartbeat-interval)"
            )
        return cls(bootstrap_servers, **own, **{**config.options, **client})

    @property
    def partitions(self) -> int:
        """How many partitions `commands` and `events` have."""
        return self._identity.partitions if self._identity else self._new_partitions

    @property
    def cluster_id(self) -> str | None:
        """The id of the cluster; None before the log is open."""
        return self._cluster.cluster_id

    @property
    def max_batch_bytes(self) -> int:
        """The largest batch that `append` takes, as `batch_bytes` counts it."""
        return batch_limit(self._max_message_bytes(Topic.EVENTS))

    @property
    def system(self) -> str:
        """What conventions call this kind of log."""
        return "kafka"

    @property
    def group(self) -> str:
        """The consumer group of the app's workers."""
        return f"{self.app}.workers"

    def name(self, topic: Topic) -> str:
        """Return Kafka's name of one of the app's topics."""
        return topic_name(self.app, topic)

    async def open(self, *, create: bool) -> LogIdentity:
        """Connect, create all topics if none exists and `create`, check them.

        Without `create` nothing is written, and a log that must not be written to can
        be read all the same: then it has `faults`.

        Raises:
            LogUnavailableError: nothing answers.
            AppNotFoundError: there is no such app, and none may be made.
            UnsafeLogError: a setting could lose history, the partition count is not
                the recorded one, or some topics are missing; says what to set.
        """
        leave_kafka_sockets_at_fork(asyncio.get_running_loop())
        topics = await self._open_app(create=create)
        self._identity = topics.identity
        self._cluster.cluster_id = topics.identity.cluster_id
        self._message_limits = topics.message_bytes
        self.findings = topics.findings
        self.warnings = (*topics.warnings, *map(str, topics.findings))
        self._counts = dict(topics.counts)
        for warning in self.warnings:
            _logger.warning("log.setting_warned", app=self.app, setting=warning)
        for fault in self.faults:
            self._notify(f"nothing new may be begun here: {fault}")
        self._cluster.follow(self._take_counts)
        return topics.identity

    async def _open_app(self, *, create: bool) -> AppTopics:
        """Connect and open the topics; brokers that only come up are awaited."""
        clock = asyncio.get_running_loop().time
        end_s = clock() + self._connect_limit_s
        while True:
            limit_s = max(end_s - clock(), BACKOFF_S)
            await self._cluster.open(limit_s=limit_s, on_wait=self._tell_waiting)
            try:
                return await self._opening().open_app(
                    create=create,
                    partitions=self._new_partitions,
                    replication=self._replication,
                )
            except LogUnavailableError as error:
                await self.close()
                if clock() + OPEN_AGAIN_S > end_s:
                    raise
                self._tell_waiting(
                    f"a broker answers, but not for this app yet ({error}): it is "
                    f"asked again, for {end_s - clock():.0f} s ({CONNECT_SETTING})"
                )
            except BaseException:
                await self.close()
                raise
            await asyncio.sleep(OPEN_AGAIN_S)

    def _tell_waiting(self, text: str) -> None:
        _logger.warning("log.broker_awaited", app=self.app, reason=text)
        self._notify(text)

    def _notify(self, text: str) -> None:
        if self._on_wait is not None:
            self._on_wait(text)

    def _take_counts(self, counts: Mapping[str, int]) -> None:
        """Somebody may have given a topic more partitions: from now on, no new start.

        What runs goes on: it stands on the partitions that the app was made with.
        """
        for topic in (Topic.COMMANDS, Topic.EVENTS):
            name = self.name(topic)
            count = counts.get(name, self.partitions)
            self._counts[topic] = count
            if count <= self.partitions:
                continue
            fault = partitions_raised(name, count, self.partitions)
            if fault not in self.findings:
                self.findings = (*self.findings, fault)
                _logger.error(
                    "log.partitions_raised",
                    app=self.app,
                    topic=name,
                    reason=f"{fault}; what runs goes on, nothing new may be begun",
                )
                self._notify(f"nothing new may be begun here: {fault}")

    async def find_strays(self) -> tuple[StrayCommands, ...]:
        """The partitions of the commands that nobody reads, with what stands there.

        Raises:
            LogUnavailableError: a leader did not answer.
        """
        strays: list[StrayCommands] = []
        for partition in range(
            self.partitions, self._counts.get(Topic.COMMANDS, self.partitions)
        ):
            start = await self.start_offset(Topic.COMMANDS, partition)
            end = await self.end_offset(Topic.COMMANDS, partition)
            if end > start:
                strays.append(StrayCommands(partition=partition, start=start, end=end))
        return tuple(strays)

    async def delete_commands(self, partition: int, before: int) -> None:
        """Delete the commands of a partition below an offset.

        Raises:
            LogUnavailableError: its leader did not answer, or refused.
        """
        if partition < self.partitions:
            raise ValueError(f"expected a partition that nobody reads, but {partition}")
        where = self._topic_partition(Topic.COMMANDS, partition)
        await delete_records(self._cluster, where, before)

    async def plan_repair(self) -> RepairPlan:
        """What can be mended of the topics; the log need not be open.

        Raises:
            LogUnavailableError: nothing answers.
        """
        await self._cluster.open(
            limit_s=self._connect_limit_s, on_wait=self._tell_waiting
        )
        try:
            return await self._app_repair().plan(
                partitions=self._new_partitions, replication=self._replication
            )
        finally:
            await self.close()

    async def repair(self, repair: RepairPlan) -> tuple[str, ...]:
        """Do what was planned; returns what was refused, with how an admin does it.

        Raises:
            LogUnavailableError: nothing answers.
            UnsafeLogError: a topic could be neither deleted nor made.
        """
        await self._cluster.open(
            limit_s=self._connect_limit_s, on_wait=self._tell_waiting
        )
        try:
            refused = await self._app_repair().apply(repair)
        finally:
            await self.close()
        if repair.is_unfinished:
            await self.open(create=True)
            await self.close()
        return refused

    def _app_repair(self) -> AppRepair:
        return AppRepair(self._cluster, self._opening(), self.app)

    @property
    def faults(self) -> tuple[TopicFinding, ...]:
        """Why nobody may begin to write."""
        return tuple(finding for finding in self.findings if finding.is_fault)

    def check_writable(self) -> None:
        """Refuse to begin anything new here.

        Raises:
            UnsafeLogError: names each setting that is wrong, and the value to set.
        """
        if self.findings:
            refuse_faults(self.faults)

    async def open_snapshots(self) -> None:
        """Make the snapshots topic where there is none, and check it.

        Raises:
            LogUnavailableError: nothing answers.
            UnsafeLogError: it could not be made, or a table could not be made of it;
                says what to set.
        """
        limit = await self._opening().open_snapshots(
            partitions=self.partitions, replication=self._replication
        )
        self._add_message_limits({Topic.SNAPSHOTS: limit})

    async def close(self) -> None:
        """Close all connections."""
        await self._producer.close()
        self.appends.close()
        self.fetches.close()
        await self._cluster.close()

    async def appender(self, partition: int) -> KafkaAppender:
        """A fresh appender for one partition of `events`."""
        appender = KafkaAppender(
            self.appends,
            self._topic_partition(Topic.EVENTS, partition),
            max_message_bytes=self._max_message_bytes(Topic.EVENTS),
            limit_s=self._append_limit_s,
        )
        await appender.start()
        return appender

    async def reader(self, topic: Topic, partition: int, offset: int) -> KafkaReader:
        """A reader that begins at `offset`, as read_committed gives records."""
        return KafkaReader(
            self.fetches,
            self._topic_partition(topic, partition),
            offset,
            compacted=topic in _COMPACTED,
        )

    async def start_offset(self, topic: Topic, partition: int) -> int:
        """The first kept offset."""
        where = self._topic_partition(topic, partition)
        return await self._cluster.offset(where, EARLIEST)

    async def end_offset(self, topic: Topic, partition: int) -> int:
        """One above the last record that a reader is given."""
        where = self._topic_partition(topic, partition)
        return await self._cluster.offset(where, LATEST)

    async def offset_at(self, topic: Topic, partition: int, at_ms: int) -> int:
        """The offset of the first record that was written then or later."""
        where = self._topic_partition(topic, partition)
        offset = await self._cluster.offset(where, max(at_ms, 0))
        return offset if offset >= 0 else await self.end_offset(topic, partition)

    async def open_transactions(
        self, topic: Topic, partition: int
    ) -> tuple[OpenTransaction, ...]:
        """The transactions that are open on a partition.

        Raises:
            LogUnavailableError: its leader did not answer, or cannot tell.
        """
        where = self._topic_partition(topic, partition)
        return await read_open_transactions(self._cluster, where)

    async def held_back(
        self, topic: Topic, partitions: Iterable[int]
    ) -> tuple[int, ...]:
        """Those of the partitions whose readers stop before the end.

        Raises:
            LogUnavailableError: a leader did not answer.
        """
        name = self.name(topic)
        asked = [TopicPartition(name, partition) for partition in partitions]
        held = await find_held_back(self._cluster, asked)
        return tuple(partition.partition for partition in held)

    async def produce(self, topic: Topic, partition: int, record: NewRecord) -> int:
        """Write one record outside the claim rule and return its offset.

        Raises:
            LogUnavailableError: it was not acknowledged; it may still land.
            BatchTooLargeError: the log refused its size; nothing was written.
        """
        if topic is Topic.EVENTS:
            raise ValueError("expected events to be appended, but they were produced")
        return await self._producer.produce(
            self._topic_partition(topic, partition),
            record,
            max_message_bytes=self._max_message_bytes(topic),
        )

    def _post(self, topic: Topic, partition: int, record: NewRecord) -> None:
        self._producer.post(
            self._topic_partition(topic, partition),
            record,
            max_message_bytes=self._max_message_bytes(topic),
        )

    def _topic_partition(self, topic: Topic, partition: int) -> TopicPartition:
        return TopicPartition(self.name(topic), partition)

    def _opening(self) -> Opening:
        return Opening(self._cluster, self.app, limit_s=CREATION_LIMIT_S)

    def _add_message_limits(self, limits: Mapping[Topic, int]) -> None:
        self._message_limits = {**self._message_limits, **limits}

    def _max_message_bytes(self, topic: Topic) -> int:
        return self._message_limits.get(topic, _DEFAULT_MESSAGE_BYTES)
