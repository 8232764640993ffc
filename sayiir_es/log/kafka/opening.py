"""Finds an app's topics, or creates them, and reads or writes its app record.

Module `topic_rules` has the rules, and explains the race between processes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aiokafka.structs import TopicPartition

from sayiir_es.core.model.errors import (
    AppNotFoundError,
    LogUnavailableError,
    UnsafeLogError,
)
from sayiir_es.log.kafka import topic_rules
from sayiir_es.log.kafka.append_requests import AppendRequests
from sayiir_es.log.kafka.appender import KafkaAppender
from sayiir_es.log.kafka.completion import (
    REPLICAS,
    REQUEST_TOPICS,
    Completion,
    CompletionResult,
    plan_completion,
)
from sayiir_es.log.kafka.connection import EARLIEST, LATEST
from sayiir_es.log.kafka.describe import describe, list_topic_names
from sayiir_es.log.kafka.fetch_requests import FetchRequests
from sayiir_es.log.kafka.reader import KafkaReader
from sayiir_es.log.kafka.setting_rules import TopicFinding, judge, refuse_faults
from sayiir_es.log.kafka.topic_admin import TopicAdmin
from sayiir_es.log.port import APP_TOPICS, LogIdentity, NewRecord, Topic
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sayiir_es.log.kafka.connection import Cluster
    from sayiir_es.log.kafka.describe import ClusterDescription

_logger = get_logger(__name__)

# How long another process may take from its first topic to its app record.
CREATION_LIMIT_S = 30.0
READ_LIMIT_S = 5.0
"""The same, for one who only reads: an app that nobody completes is told soon."""

TOLD_S = 2.0
"""After so many seconds it is said that another process is waited for."""

_POLL_S = 0.1
_DEFAULT_MESSAGE_BYTES = 1_048_588  # Kafka's, where the broker does not show it


@dataclass(frozen=True, slots=True, kw_only=True)
class AppTopics:
    """The topics of an app, found or created and checked; sizes are in bytes.

    `counts` are the partitions of each topic now. `findings` are the judgement of its
    settings, with faults only for one who reads; `warnings` are what happened besides.
    """

    identity: LogIdentity
    message_bytes: Mapping[Topic, int]
    warnings: tuple[str, ...]
    counts: Mapping[Topic, int]
    findings: tuple[TopicFinding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTopics:
    """The topics as they are, the app record or None, and what was done to them."""

    description: ClusterDescription
    app_record: bytes | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRequestTopics:
    """The topics of requests and replies of an app; sizes are in bytes."""

    reply_partitions: int
    message_bytes: Mapping[Topic, int]


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

        Without `create` nothing is written, and what must not be written to may be
        read: then there are faults among the findings.

        Raises:
            LogUnavailableError: the brokers stopped answering.
            AppNotFoundError: there is no such app, and none may be created.
            UnsafeLogError: see `topic_rules` and `setting_rules`.
        """
        found = (
            await self._make_app(partitions, replication)
            if create
            else await self._find_app()
        )
        identity = self.identity_of(found.description)
        findings = [*judge(self._app, found.description)]
        if found.app_record is not None:
            recorded = topic_rules.check_identity(found.app_record, identity)
            findings += self.judge_counts(found.description, recorded)
            identity = replace(identity, partitions=recorded)
        if create:
            refuse_faults(findings)
        if found.app_record is None:
            await self._write_app_record(found.description, identity)
        return AppTopics(
            identity=identity,
            message_bytes={
                t: _max_message_bytes(found.description, self._name(t))
                for t in APP_TOPICS
            },
            warnings=found.warnings,
            counts={
                t: found.description.topics[self._name(t)].partitions
                for t in APP_TOPICS
            },
            findings=tuple(findings),
        )

    async def read(self) -> FoundTopics:
        """The topics and the app record as they are: nothing is made or refused.

        Raises:
            LogUnavailableError: the brokers stopped answering.
        """
        description, app_record = await self._describe_app()
        return FoundTopics(description=description, app_record=app_record)

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
            replicas = replication or min(REPLICAS, description.brokers)
            new = topic_rules.new_topic(
                self._app, Topic.SNAPSHOTS, partitions=partitions, replicas=replicas
            )
            await self._create_topics(description.controller, [new])
            description = await self._wait_for_topics_named([name])
        topic_rules.check_snapshots(name, description.topics[name], partitions)
        await self._cluster.track([name])
        return _max_message_bytes(description, name)

    async def open_requests(
        self, *, create: bool, partitions: int, replication: int | None
    ) -> FoundRequestTopics | None:
        """Find the topics of requests and replies, after creating them if `create`.

        None where they are missing.

        Raises:
            LogUnavailableError: the brokers stopped answering.
            UnsafeLogError: they could not be made, or have another partition count.
        """
        names = {topic: self._name(topic) for topic in REQUEST_TOPICS}
        description = await describe(self._cluster, [*names.values()])
        missing = [t for t, name in names.items() if name not in description.topics]
        if missing and not create:
            return None
        if missing:
            replicas = replication or min(REPLICAS, description.brokers)
            new = [
                topic_rules.new_topic(
                    self._app, topic, partitions=partitions, replicas=replicas
                )
                for topic in missing
            ]
            await self._create_topics(description.controller, new)
            description = await self._wait_for_topics_named([*names.values()])
        requests = names[Topic.REQUESTS]
        topic_rules.check_requests(requests, description.topics[requests], partitions)
        await self._cluster.track([*names.values()])
        return FoundRequestTopics(
            reply_partitions=description.topics[names[Topic.REPLIES]].partitions,
            message_bytes={
                topic: _max_message_bytes(description, name)
                for topic, name in names.items()
            },
        )

    async def _wait_for_topics_named(
        self,
        names: list[str],
        is_done: Callable[[ClusterDescription], bool] = lambda _: True,
    ) -> ClusterDescription:
        """Wait until the brokers know of topics that were just created or changed."""
        end_s = asyncio.get_running_loop().time() + self._limit_s
        while True:
            is_late = asyncio.get_running_loop().time() > end_s
            try:
                description = await describe(self._cluster, names)
            except LogUnavailableError:
                if is_late:
                    raise
            else:
                missing = [name for name in names if name not in description.topics]
                if not missing and (is_late or is_done(description)):
                    return description
                if is_late:
                    raise LogUnavailableError(
                        f"expected the topics {missing} that were just made, but no "
                        f"broker knows of them after {self._limit_s:g} s"
                    )
            await asyncio.sleep(_POLL_S)

    def _name(self, topic: Topic) -> str:
        return topic_rules.topic_name(self._app, topic)

    def identity_of(self, description: ClusterDescription) -> LogIdentity:
        """The identity that the topics have now."""
        return LogIdentity(
            cluster_id=description.cluster_id,
            partitions=description.topics[self._name(Topic.EVENTS)].partitions,
            topics={t.value: description.topics[self._name(t)].id for t in APP_TOPICS},
        )

    def judge_counts(
        self, description: ClusterDescription, recorded: int
    ) -> list[TopicFinding]:
        """What is to be said where somebody gave the app's topics more partitions."""
        return [
            partitions_raised(self._name(topic), count, recorded)
            for topic in (Topic.COMMANDS, Topic.EVENTS)
            if (count := description.topics[self._name(topic)].partitions) != recorded
        ]

    async def _create_topics(
        self, controller: int, new: Sequence[topic_rules.NewTopic]
    ) -> None:
        created = await TopicAdmin(self._cluster, controller).create(new)
        for warning in created.warnings:
            _logger.warning("log.setting_warned", app=self._app, setting=warning)

    # --- making an app, or finding it -------------------------------------------------

    async def _make_app(self, partitions: int, replication: int | None) -> FoundTopics:
        """Find the app, or make of what is there a whole one.

        Of several processes one does it: the one that makes `definitions`. The others
        wait for its record, and when it does not come they do it too: that one died,
        or a broker made the topics by itself.
        """
        description = await describe(self._cluster, self._names)
        is_ours = False
        warnings: tuple[str, ...] = ()
        if self._name(Topic.DEFINITIONS) not in description.topics:
            await self._record_of_another(description)
            new = topic_rules.new_topic(
                self._app,
                Topic.DEFINITIONS,
                partitions=1,
                replicas=replication or min(REPLICAS, description.brokers),
            )
            admin = TopicAdmin(self._cluster, description.controller)
            created = await admin.create([new])
            is_ours, warnings = created.is_ours, created.warnings
        wait = _Wait(self._limit_s)
        while True:
            found = await self._describe_patiently(wait)
            missing = topic_rules.missing_topics(self._app, found.description)
            if found.app_record is not None:
                self._refuse_missing(missing)
                return replace(found, warnings=warnings)
            if self._name(Topic.DEFINITIONS) not in missing and (
                is_ours or not missing or wait.is_over
            ):
                if await self._record_of_another(found.description) is not None:
                    continue
                return await self._complete(found, partitions, replication, warnings)
            if wait.is_over:
                raise LogUnavailableError(
                    f"expected the topics {missing} that were just made, but no "
                    f"broker knows of them after {self._limit_s:g} s"
                )
            if wait.is_to_be_told:
                _logger.warning(
                    "log.app_awaited",
                    app=self._app,
                    reason="topics are there, but no app record yet: another process "
                    f"makes it, for at most {self._limit_s:g} s; then this one "
                    "completes the app",
                )
            await asyncio.sleep(_POLL_S)

    async def _find_app(self) -> FoundTopics:
        """Find the app as it is; somebody may be about to make it.

        Raises:
            AppNotFoundError: there is no such app; names those that are like it.
        """
        description = await describe(self._cluster, self._names)
        if not description.topics:
            raise await self._app_not_found()
        wait = _Wait(min(READ_LIMIT_S, self._limit_s))
        while True:
            found = await self._describe_patiently(wait)
            missing = topic_rules.missing_topics(self._app, found.description)
            if found.app_record is not None:
                self._refuse_missing(missing)
                return found
            if self._name(Topic.DEFINITIONS) in missing or wait.is_over:
                if await self._record_of_another(found.description) is not None:
                    continue
                raise AppNotFoundError(
                    f"expected app {self._app!r} on {self._cluster.bootstrap_servers}, "
                    f"but of its topics only {sorted(found.description.topics)} is "
                    "there, which no worker made: the first worker completes the app, "
                    "`sayiir-es doctor --fix` too"
                )
            await asyncio.sleep(_POLL_S)

    async def _app_not_found(self) -> AppNotFoundError:
        try:
            names = await list_topic_names(self._cluster)
        except LogUnavailableError:
            names = []
        return AppNotFoundError(
            f"expected app {self._app!r} on {self._cluster.bootstrap_servers}, but "
            f"there is no topic {self._name(Topic.EVENTS)!r}; "
            + topic_rules.similar_apps(self._app, names)
        )

    def _refuse_missing(self, missing: list[str]) -> None:
        if missing:
            raise UnsafeLogError(
                f"expected all topics of app {self._app!r}, but topics {missing} is "
                "missing: restore it, or delete the others to begin anew"
            )

    async def _record_of_another(self, description: ClusterDescription) -> bytes | None:
        """The app record that was not there a moment ago; None where nothing has begun.

        Another process that makes the app writes its record before any event. So who
        has seen no record, and sees events now, looks for it once more.

        Raises:
            UnsafeLogError: there are events, and no app record.
        """
        events, name = self._name(Topic.EVENTS), self._name(Topic.DEFINITIONS)
        if not await self.count_records(description, events):
            return None
        record = None
        if name in description.topics:
            record = await self._read_app_record()
        if record is None:
            raise UnsafeLogError(
                f"expected an app record on {name!r}, but there is none and "
                f"{events!r} has history: the record was deleted; restore it"
            )
        return record

    async def count_records(self, description: ClusterDescription, name: str) -> int:
        """How many offsets of a topic were ever written; 0 where there is none."""
        topic = description.topics.get(name)
        if topic is None:
            return 0
        await self._cluster.track([name])
        ends = [
            await self._cluster.offset(TopicPartition(name, partition), LATEST)
            for partition in range(topic.partitions)
        ]
        return sum(ends)

    async def wait_until_gone(self, name: str) -> None:
        """Wait until no broker knows of a topic that was just deleted.

        Raises:
            LogUnavailableError: one does for too long.
        """
        wait = _Wait(self._limit_s)
        while name in await list_topic_names(self._cluster):
            if wait.is_over:
                raise LogUnavailableError(
                    f"expected {name!r} to be gone, but after {self._limit_s:g} s a "
                    "broker knows it"
                )
            await asyncio.sleep(_POLL_S)

    async def _complete(
        self,
        found: FoundTopics,
        partitions: int,
        replication: int | None,
        warnings: tuple[str, ...],
    ) -> FoundTopics:
        """Make what is missing, and set what a broker that made topics did not."""
        description = found.description
        completion = plan_completion(
            self._app, description, partitions=partitions, replication=replication
        )
        done = await completion.apply(TopicAdmin(self._cluster, description.controller))
        for change in completion.changes:
            _logger.warning(
                "log.app_completed",
                app=self._app,
                reason=f"{change}, for the broker made that topic by itself",
            )
        description = await self._wait_for_topics_named(
            self._names, lambda now: _is_complete(completion, done, now)
        )
        await self._cluster.track(list(description.topics))
        return FoundTopics(
            description=description,
            app_record=None,
            warnings=(*warnings, *done.warnings),
        )

    async def _describe_patiently(self, wait: _Wait) -> FoundTopics:
        """The topics, and the app record; a new topic may not be known everywhere."""
        while True:
            try:
                return await self.read()
            except LogUnavailableError:
                if wait.is_over:
                    raise
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
        requests = FetchRequests(self._cluster)
        reader = KafkaReader(requests, topic_partition, offset, compacted=True)
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
            requests.close()
        return value

    async def _write_app_record(
        self, description: ClusterDescription, identity: LogIdentity
    ) -> None:
        """Write the app record of an app that has no history yet.

        Raises:
            UnsafeLogError: another process has written one that does not fit.
        """
        written = await self._record_of_another(description)
        if written is not None:
            topic_rules.check_identity(written, identity)
            return
        name = self._name(Topic.DEFINITIONS)
        requests = AppendRequests(self._cluster)
        appender = KafkaAppender(
            requests,
            TopicPartition(name, 0),
            max_message_bytes=_max_message_bytes(description, name),
            limit_s=self._limit_s,
        )
        value = topic_rules.app_record(identity)
        try:
            await appender.start()
            await appender.append([NewRecord(key=topic_rules.APP_KEY, value=value)])
        finally:
            await appender.close()
            requests.close()


class _Wait:
    """How long something that another process does is waited for."""

    def __init__(self, limit_s: float) -> None:
        self._clock = asyncio.get_running_loop().time
        self._told_s = self._clock() + TOLD_S
        self._end_s = self._clock() + limit_s

    @property
    def is_over(self) -> bool:
        return self._clock() > self._end_s

    @property
    def is_to_be_told(self) -> bool:
        """Once, after a while."""
        is_late = self._clock() > self._told_s
        if is_late:
            self._told_s = float("inf")
        return is_late


def partitions_raised(name: str, count: int, recorded: int) -> TopicFinding:
    """What is to be said where somebody gave a topic more partitions."""
    return TopicFinding(
        topic=name,
        finding=f"has {count} partitions, but the app was made with {recorded}",
        advice="the count can never be changed in place, for keys would move to other "
        f"owners: nobody reads partitions {recorded} to {count - 1}; `sayiir-es "
        "partition forward` brings home what producers wrote there, and `audit export` "
        "with `audit import` makes an app of another name with all history",
        is_fault=True,
    )


def _is_complete(
    completion: Completion, done: CompletionResult, description: ClusterDescription
) -> bool:
    """Whether the brokers show what was just done."""
    wide = all(
        description.topics[name].partitions >= count
        for name, count in completion.widened.items()
    )
    return wide and all(
        description.topics[name].settings.get(key, value) == value
        for name, settings in completion.settings.items()
        for key, value in settings.items()
        if key not in done.refused.get(name, {})
    )


def _max_message_bytes(description: ClusterDescription, name: str) -> int:
    shown = description.topics[name].settings.get("max.message.bytes", "")
    return int(shown) if shown.isdigit() else _DEFAULT_MESSAGE_BYTES
