"""Finds an app's topics, or creates them, and reads or writes its app record.

Module `topic_rules` has the rules, and explains the race between processes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateTopicsRequest
from aiokafka.structs import TopicPartition

from sayiir_es.core.model.errors import LogUnavailableError, UnsafeLogError
from sayiir_es.log.kafka import topic_rules
from sayiir_es.log.kafka.appender import KafkaAppender
from sayiir_es.log.kafka.connection import (
    EARLIEST,
    LATEST,
    TRANSPORT_ERRORS,
    LeaderConnection,
)
from sayiir_es.log.kafka.describe import describe
from sayiir_es.log.kafka.reader import KafkaReader
from sayiir_es.log.port import APP_TOPICS, LogIdentity, NewRecord, Topic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sayiir_es.log.kafka.connection import Cluster
    from sayiir_es.log.kafka.describe import ClusterDescription

# How long another process may take from its first topic to its app record.
CREATION_LIMIT_S = 30.0
_POLL_S = 0.1
_CREATE_LIMIT_MS = 10_000
_REPLICAS = 3
_TOPIC_EXISTS = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class AppTopics:
    """The topics of an app, found or created and checked; sizes are in bytes."""

    identity: LogIdentity
    message_bytes: Mapping[Topic, int]
    warnings: tuple[str, ...]


class Opening:
    """One attempt to open the topics of an app."""

    def __init__(self, cluster: Cluster, app: str, *, limit_s: float) -> None:
        self._cluster = cluster
        self._app = app
        self._limit_s = limit_s
        self._names = [topic_rules.topic_name(app, topic) for topic in APP_TOPICS]

    async def open_app(
        self, *, create: bool, partitions: int, replication: int | None
    ) -> AppTopics:
        """Find all topics, after creating them where there is none, and check them.

        Raises:
            LogUnavailableError: the brokers stopped answering.
            UnsafeLogError: see `topic_rules`.
        """
        description = await describe(self._cluster, self._names)
        if not description.topics:
            if not create:
                raise UnsafeLogError(
                    f"expected the topics of app {self._app!r}, but there is none: "
                    "the first worker makes them"
                )
            await self._create_app(description, partitions, replication)
        is_new = not description.topics
        description, app_record = await self._wait_for_topics(
            create=create, is_new=is_new
        )
        identity = self._identity_of(description)
        if app_record is not None:
            topic_rules.check_identity(app_record, identity)
        warnings = topic_rules.check_settings(self._app, description)
        if app_record is None:
            await self._write_app_record(description, identity)
        return AppTopics(
            identity=identity,
            message_bytes={
                t: _max_message_bytes(description, self._name(t)) for t in APP_TOPICS
            },
            warnings=warnings,
        )

    async def open_snapshots(self, *, partitions: int, replication: int | None) -> int:
        """Find the optional topic, after creating it where there is none, and check it.

        Returns the largest message that it takes, in bytes.

        Raises:
            LogUnavailableError: the brokers stopped answering.
            UnsafeLogError: a table could not be made of it; says what to set.
        """
        name = self._name(Topic.SNAPSHOTS)
        description = await describe(self._cluster, [name])
        if name not in description.topics:
            replicas = replication or min(_REPLICAS, description.brokers)
            new = topic_rules.new_topic(
                self._app, Topic.SNAPSHOTS, partitions=partitions, replicas=replicas
            )
            await self._create_topics(description.controller, [new])
            description = await self._wait_for_topic(name)
        topic_rules.check_snapshots(name, description.topics[name], partitions)
        await self._cluster.track([*self._names, name])
        return _max_message_bytes(description, name)

    async def _wait_for_topic(self, name: str) -> ClusterDescription:
        """Wait until the brokers know of a topic that was just created."""
        end_s = asyncio.get_running_loop().time() + self._limit_s
        while True:
            is_late = asyncio.get_running_loop().time() > end_s
            try:
                description = await describe(self._cluster, [name])
            except LogUnavailableError:
                if is_late:
                    raise
            else:
                if name in description.topics:
                    return description
                if is_late:
                    raise LogUnavailableError(
                        f"expected topic {name!r} that was just made, but no broker "
                        f"knows of it after {self._limit_s:g} s"
                    )
            await asyncio.sleep(_POLL_S)

    def _name(self, topic: Topic) -> str:
        return topic_rules.topic_name(self._app, topic)

    def _identity_of(self, description: ClusterDescription) -> LogIdentity:
        return LogIdentity(
            cluster_id=description.cluster_id,
            partitions=description.topics[self._name(Topic.EVENTS)].partitions,
            topics={t.value: description.topics[self._name(t)].id for t in APP_TOPICS},
        )

    async def _create_app(
        self, description: ClusterDescription, partitions: int, replication: int | None
    ) -> None:
        replicas = replication or min(_REPLICAS, description.brokers)
        new = {
            topic: topic_rules.new_topic(
                self._app, topic, partitions=partitions, replicas=replicas
            )
            for topic in APP_TOPICS
        }
        first = new.pop(Topic.DEFINITIONS)
        if await self._create_topics(description.controller, [first]):
            await self._create_topics(description.controller, list(new.values()))

    async def _create_topics(
        self, controller: int, new: Sequence[topic_rules.NewTopic]
    ) -> bool:
        """Create topics; return whether it was this process that created them."""
        topics: list[Any] = [
            (t.name, t.partitions, t.replicas, [], list(t.settings.items()))
            for t in new
        ]
        request = CreateTopicsRequest(
            create_topic_requests=topics,
            timeout=_CREATE_LIMIT_MS,
            validate_only=False,
        )
        try:
            response = await self._cluster.ask(request, node=controller)
        except TRANSPORT_ERRORS as error:
            raise LogUnavailableError(
                f"expected to make topics of app {self._app!r}, but {error!r}"
            ) from error
        is_ours = True
        for name, code, message in response.topic_errors:
            if code == _TOPIC_EXISTS:
                is_ours = False
            elif code:
                raise UnsafeLogError(
                    f"expected to make topic {name!r}, "
                    f"but {message or for_code(code).__name__}"
                )
        return is_ours

    async def _wait_for_topics(
        self, *, create: bool, is_new: bool
    ) -> tuple[ClusterDescription, bytes | None]:
        """Wait for all topics, and for the app record unless this process may write it.

        `is_new` says that there was no topic a moment ago: not every broker may know
        the new ones yet.
        """
        end_s = asyncio.get_running_loop().time() + self._limit_s
        while True:
            is_late = asyncio.get_running_loop().time() > end_s
            try:
                description, app_record = await self._describe_app()
            except LogUnavailableError:
                # A broker that does not know a new topic yet answers with an error.
                if is_late or not is_new:
                    raise
                await asyncio.sleep(_POLL_S)
                continue
            missing = topic_rules.missing_topics(self._app, description)
            if not missing and (app_record is not None or create):
                return description, app_record
            # No record yet: the process that created the first topic goes on.
            has_definitions = self._name(Topic.DEFINITIONS) not in missing
            in_creation = app_record is None and (has_definitions or is_new)
            if not in_creation or is_late:
                what = f"topics {missing}" if missing else "the app record"
                raise UnsafeLogError(
                    f"expected all topics of app {self._app!r}, but {what} is missing: "
                    "restore it, or delete the others to begin anew"
                )
            await asyncio.sleep(_POLL_S)

    async def _describe_app(self) -> tuple[ClusterDescription, bytes | None]:
        """Return the topics that there are now, and the app record or None."""
        description = await describe(self._cluster, self._names)
        await self._cluster.track(list(description.topics))
        if self._name(Topic.DEFINITIONS) in topic_rules.missing_topics(
            self._app, description
        ):
            return description, None
        return description, await self._read_app_record()

    async def _read_app_record(self) -> bytes | None:
        topic_partition = TopicPartition(self._name(Topic.DEFINITIONS), 0)
        offset = await self._cluster.offset(topic_partition, EARLIEST)
        end = await self._cluster.offset(topic_partition, LATEST)
        reader = KafkaReader(
            LeaderConnection(self._cluster, *topic_partition), offset, compacted=True
        )
        value: bytes | None = None
        try:
            while offset < end:
                chunk = await reader.read(max_wait_s=self._limit_s)
                if chunk is None:
                    raise LogUnavailableError(
                        f"expected the records of {topic_partition.topic!r} "
                        f"up to {end}, but they end at {offset}"
                    )
                for record in chunk.records:
                    if record.key == topic_rules.APP_KEY:
                        value = record.value
                offset = chunk.end
        finally:
            await reader.close()
        return value

    async def _write_app_record(
        self, description: ClusterDescription, identity: LogIdentity
    ) -> None:
        """Write the app record of an app that has no history yet."""
        events = self._name(Topic.EVENTS)
        for partition in range(identity.partitions):
            end = await self._cluster.offset(TopicPartition(events, partition), LATEST)
            if end:
                name = self._name(Topic.DEFINITIONS)
                raise UnsafeLogError(
                    f"expected an app record on {name!r}, but there is none and "
                    f"{events!r} has history: the record was deleted; restore it"
                )
        name = self._name(Topic.DEFINITIONS)
        appender = KafkaAppender(
            LeaderConnection(self._cluster, name, 0),
            max_message_bytes=_max_message_bytes(description, name),
            limit_s=self._limit_s,
        )
        await appender.start()
        value = topic_rules.app_record(identity)
        try:
            await appender.append([NewRecord(key=topic_rules.APP_KEY, value=value)])
        finally:
            await appender.close()


def _max_message_bytes(description: ClusterDescription, name: str) -> int:
    return int(description.topics[name].settings["max.message.bytes"])
