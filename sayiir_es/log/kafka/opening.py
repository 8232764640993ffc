"""Finds an app's topics, or makes them, and reads or writes its app record.

The steps and the race between processes are told in `topics`, which holds the rules.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiokafka.errors import for_code
from aiokafka.protocol.admin import CreateTopicsRequest
from aiokafka.structs import TopicPartition

from sayiir_es.core.model.errors import LogUnavailableError, UnsafeLogError
from sayiir_es.log.kafka import topic_rules as rules
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

# How long another process may take between its first topic and its app record.
CREATION_LIMIT_S = 30.0
_POLL_S = 0.1
_CREATE_LIMIT_MS = 10_000
_REPLICAS = 3
_TOPIC_EXISTS = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class AppTopics:
    """What `open_app` found."""

    identity: LogIdentity
    message_bytes: Mapping[Topic, int]
    warnings: tuple[str, ...]


class Opening:
    """One attempt to open the topics of an app."""

    def __init__(self, cluster: Cluster, app: str, *, limit_s: float) -> None:
        self._cluster = cluster
        self._app = app
        self._limit_s = limit_s
        self._names = [rules.topic_name(app, topic) for topic in APP_TOPICS]

    async def open_app(
        self, *, create: bool, partitions: int, replication: int | None
    ) -> AppTopics:
        """Find all topics, after making them where there is none, and check them.

        Raises:
            LogUnavailableError: the brokers stopped answering.
            UnsafeLogError: see `topics`.
        """
        found = await describe(self._cluster, self._names)
        if not found.topics:
            if not create:
                raise UnsafeLogError(
                    f"expected the topics of app {self._app!r}, but there is none: "
                    "the first worker makes them"
                )
            await self._create(found, partitions, replication)
        anew = not found.topics
        found, recorded = await self._settled(create=create, anew=anew)
        identity = self._identity(found)
        if recorded is not None:
            rules.check_identity(recorded, identity)
        warnings = rules.check_settings(self._app, found)
        if recorded is None:
            await self._record(found, identity)
        return AppTopics(
            identity=identity,
            message_bytes={t: _message_bytes(found, self._name(t)) for t in APP_TOPICS},
            warnings=warnings,
        )

    async def open_snapshots(self, *, partitions: int, replication: int | None) -> int:
        """Find the optional topic, after making it where there is none, and check it.

        Returns the largest message that it takes, in bytes.

        Raises:
            LogUnavailableError: the brokers stopped answering.
            UnsafeLogError: a table could not be made of it; says what to set.
        """
        name = self._name(Topic.SNAPSHOTS)
        found = await describe(self._cluster, [name])
        if name not in found.topics:
            replicas = replication or min(_REPLICAS, found.brokers)
            new = rules.new_topic(
                self._app, Topic.SNAPSHOTS, partitions=partitions, replicas=replicas
            )
            await self._make(found.controller, [new])
            found = await self._heard_of(name)
        rules.check_snapshots(name, found.topics[name], partitions)
        await self._cluster.track([*self._names, name])
        return _message_bytes(found, name)

    async def _heard_of(self, name: str) -> ClusterDescription:
        """Wait until the brokers know of a topic that was just made."""
        end_s = asyncio.get_running_loop().time() + self._limit_s
        while True:
            late = asyncio.get_running_loop().time() > end_s
            try:
                found = await describe(self._cluster, [name])
            except LogUnavailableError:
                if late:
                    raise
            else:
                if name in found.topics:
                    return found
                if late:
                    raise LogUnavailableError(
                        f"expected topic {name!r} that was just made, but no broker "
                        f"knows of it after {self._limit_s:g} s"
                    )
            await asyncio.sleep(_POLL_S)

    def _name(self, topic: Topic) -> str:
        return rules.topic_name(self._app, topic)

    def _identity(self, found: ClusterDescription) -> LogIdentity:
        return LogIdentity(
            cluster_id=found.cluster_id,
            partitions=found.topics[self._name(Topic.EVENTS)].partitions,
            topics={t.value: found.topics[self._name(t)].id for t in APP_TOPICS},
        )

    async def _create(
        self, found: ClusterDescription, partitions: int, replication: int | None
    ) -> None:
        replicas = replication or min(_REPLICAS, found.brokers)
        new = {
            topic: rules.new_topic(
                self._app, topic, partitions=partitions, replicas=replicas
            )
            for topic in APP_TOPICS
        }
        first = new.pop(Topic.DEFINITIONS)
        if await self._make(found.controller, [first]):
            await self._make(found.controller, list(new.values()))

    async def _make(self, controller: int, new: Sequence[rules.NewTopic]) -> bool:
        """Make topics; say whether it was this process that made them."""
        wanted: list[Any] = [
            (t.name, t.partitions, t.replicas, [], list(t.settings.items()))
            for t in new
        ]
        request = CreateTopicsRequest(
            create_topic_requests=wanted,
            timeout=_CREATE_LIMIT_MS,
            validate_only=False,
        )
        try:
            answer = await self._cluster.ask(request, node=controller)
        except TRANSPORT_ERRORS as error:
            raise LogUnavailableError(
                f"expected to make topics of app {self._app!r}, but {error!r}"
            ) from error
        made = True
        for name, code, message in answer.topic_errors:
            if code == _TOPIC_EXISTS:
                made = False
            elif code:
                raise UnsafeLogError(
                    f"expected to make topic {name!r}, "
                    f"but {message or for_code(code).__name__}"
                )
        return made

    async def _settled(
        self, *, create: bool, anew: bool
    ) -> tuple[ClusterDescription, bytes | None]:
        """Wait for all topics, and for the app record unless we may write it.

        `anew` says that there was no topic a moment ago: what was just made may not be
        known to every broker yet.
        """
        end_s = asyncio.get_running_loop().time() + self._limit_s
        while True:
            late = asyncio.get_running_loop().time() > end_s
            try:
                found = await self._seen()
            except LogUnavailableError:
                # A broker that has not heard of a new topic yet says so.
                if late or not anew:
                    raise
                await asyncio.sleep(_POLL_S)
                continue
            missing, recorded = rules.missing_topics(self._app, found[0]), found[1]
            if not missing and (recorded is not None or create):
                return found
            # Without a record yet, the process that made the first topic is at work.
            known = self._name(Topic.DEFINITIONS) not in missing
            begun = recorded is None and (known or anew)
            if not begun or late:
                what = f"topics {missing}" if missing else "the app record"
                raise UnsafeLogError(
                    f"expected all topics of app {self._app!r}, but {what} is missing: "
                    "restore it, or delete the others to begin anew"
                )
            await asyncio.sleep(_POLL_S)

    async def _seen(self) -> tuple[ClusterDescription, bytes | None]:
        """The topics as they are known now, and the app record if there is one."""
        found = await describe(self._cluster, self._names)
        await self._cluster.track(list(found.topics))
        if self._name(Topic.DEFINITIONS) in rules.missing_topics(self._app, found):
            return found, None
        return found, await self._recorded()

    async def _recorded(self) -> bytes | None:
        where = TopicPartition(self._name(Topic.DEFINITIONS), 0)
        at = await self._cluster.offset(where, EARLIEST)
        end = await self._cluster.offset(where, LATEST)
        reader = KafkaReader(
            LeaderConnection(self._cluster, *where), at, compacted=True
        )
        value: bytes | None = None
        try:
            while at < end:
                chunk = await reader.read(max_wait_s=self._limit_s)
                if chunk is None:
                    raise LogUnavailableError(
                        f"expected the records of {where.topic!r} up to {end}, "
                        f"but they end at {at}"
                    )
                for record in chunk.records:
                    if record.key == rules.APP_KEY:
                        value = record.value
                at = chunk.end
        finally:
            await reader.close()
        return value

    async def _record(self, found: ClusterDescription, identity: LogIdentity) -> None:
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
            max_message_bytes=_message_bytes(found, name),
            limit_s=self._limit_s,
        )
        await appender.start()
        value = rules.app_record(identity)
        try:
            await appender.append([NewRecord(key=rules.APP_KEY, value=value)])
        finally:
            await appender.close()


def _message_bytes(found: ClusterDescription, name: str) -> int:
    return int(found.topics[name].settings["max.message.bytes"])
