"""What an admin asks of brokers about topics: make, set, widen and delete them.

A managed cluster has rules of its own: it refuses settings that others take. A topic is
then made without those that it can do without, and it is said which they are.
aiokafka 0.14 has no IncrementalAlterConfigs request (Kafka 2.3 and newer); its other
one removes every setting that it does not name. So the structures are defined here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aiokafka.errors import for_code
from aiokafka.protocol.admin import (
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteRecordsRequest,
    DeleteTopicsRequest,
)
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int8, Int16, Int32, Schema, String

from sayiir_es.core.model.errors import (
    LogRefusedError,
    LogUnavailableError,
    UnsafeLogError,
)
from sayiir_es.log.kafka.access import UNAUTHORIZED, refusal_of
from sayiir_es.log.kafka.broker_connection import TRANSPORT_ERRORS
from sayiir_es.log.kafka.setting_rules import configs_line, describe_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka.structs import TopicPartition

    from sayiir_es.log.kafka.connection import Cluster
    from sayiir_es.log.kafka.topic_rules import NewTopic

_LIMIT_MS = 10_000
_TOPIC_EXISTS = 36
_REFUSED = frozenset({37, 38, 40, 42, 44})
"""Partitions, replicas, a setting, the request, the cluster's policy: what a broker
refuses of a topic by its rules."""

_TOPIC_RESOURCE = 2
_SET = 0
_API_KEY = 44
_TEXT = String("utf-8")

NEEDED = frozenset({("retention.ms", "-1"), ("cleanup.policy", "compact")})
"""Without these a topic does not hold what it is for: it is not made at all."""

_REQUEST = Schema(
    (
        "resources",
        Array(
            ("resource_type", Int8),
            ("resource_name", _TEXT),
            (
                "configs",
                Array(
                    ("name", _TEXT),
                    ("config_operation", Int8),
                    ("value", _TEXT),
                ),
            ),
        ),
    ),
    ("validate_only", Boolean),
)

_RESPONSE = Schema(
    ("throttle_time_ms", Int32),
    (
        "responses",
        Array(
            ("error_code", Int16),
            ("error_message", _TEXT),
            ("resource_type", Int8),
            ("resource_name", _TEXT),
        ),
    ),
)


def _structure(base: Any, schema: Any, **more: Any) -> Any:
    fields = {"API_KEY": _API_KEY, "API_VERSION": 0, "SCHEMA": schema, **more}
    return type(f"IncrementalAlterConfigs{base.__name__}_v0", (base,), fields)


# Made by a call, not by a class statement: type checkers do not know the bases.
_VERSION_0 = _structure(
    RequestStruct, _REQUEST, RESPONSE_TYPE=_structure(Response, _RESPONSE)
)


class SettingsRequest:
    """Sets some settings of a topic, and leaves its others."""

    def __init__(self, topic: str, settings: Mapping[str, str]) -> None:
        self._topic = topic
        self._settings = settings

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> Any:
        """Return the structure, if the broker speaks it.

        Raises:
            NotImplementedError: it is older, or lets nobody set anything.
        """
        if versions.get(_API_KEY, (1, 0))[0] > 0 or _API_KEY not in versions:
            raise NotImplementedError("IncrementalAlterConfigs")
        configs: list[Any] = [(k, _SET, v) for k, v in self._settings.items()]
        return _VERSION_0([(_TOPIC_RESOURCE, self._topic, configs)], False)  # noqa: FBT003 - wire order


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedTopics:
    """Whether this process made them all; what they were made without, in words."""

    is_ours: bool
    warnings: tuple[str, ...]


class TopicAdmin:
    """The topics of one cluster; `controller` is the broker that takes the requests."""

    def __init__(self, cluster: Cluster, controller: int) -> None:
        self._cluster = cluster
        self._controller = controller

    async def create(self, topics: Sequence[NewTopic]) -> CreatedTopics:
        """Make topics, each without the settings that the brokers refuse.

        Raises:
            LogUnavailableError: nothing answers.
            UnsafeLogError: one cannot be made; says how an operator makes it.
        """
        answers = await self._create(topics)
        is_ours, warnings = True, list[str]()
        for topic in topics:
            code, message = answers[topic.name]
            if code in _REFUSED:
                made = await self._create_without(topic, message)
                is_ours &= made.is_ours
                warnings += made.warnings
            elif code == _TOPIC_EXISTS:
                is_ours = False
            elif code:
                raise self._denial(topic, code) or self._refusal(topic, message)
        return CreatedTopics(is_ours=is_ours, warnings=tuple(warnings))

    async def set(self, topic: str, settings: Mapping[str, str]) -> dict[str, str]:
        """Set what the broker takes; the rest is returned, each with the reason.

        Raises:
            LogUnavailableError: nothing answers.
        """
        reason = await self._set(topic, settings)
        if reason is None:
            return {}
        if len(settings) == 1:
            return dict.fromkeys(settings, reason)
        refused: dict[str, str] = {}
        for key, value in settings.items():
            refused |= await self.set(topic, {key: value})
        return refused

    async def widen(self, topic: str, partitions: int) -> None:
        """Give a topic more partitions.

        Raises:
            LogUnavailableError: nothing answers.
            UnsafeLogError: it was refused.
        """
        wanted: list[Any] = [(topic, (partitions, None))]  # the broker places them
        request = CreatePartitionsRequest(
            topic_partitions=wanted, timeout=_LIMIT_MS, validate_only=False
        )
        response = await self._ask(request, f"{partitions} partitions of {topic!r}")
        for _, code, message in response.topic_errors:
            if code:
                raise UnsafeLogError(
                    f"expected {partitions} partitions of {topic!r}, but "
                    f"{message or for_code(code).__name__}; an operator adds them by "
                    f"`kafka-topics.sh --bootstrap-server "
                    f"{self._cluster.bootstrap_servers} --alter --topic {topic} "
                    f"--partitions {partitions}`"
                )

    async def delete(self, topic: str) -> None:
        """Delete a topic.

        Raises:
            LogUnavailableError: nothing answers.
            UnsafeLogError: it was refused.
        """
        request = DeleteTopicsRequest([topic], _LIMIT_MS)
        response = await self._ask(request, f"to delete {topic!r}")
        for _, code in response.topic_error_codes:
            if code:
                raise UnsafeLogError(
                    f"expected to delete {topic!r}, but {for_code(code).__name__}; an "
                    f"operator does it by `{self.delete_line(topic)}`"
                )

    def delete_line(self, topic: str) -> str:
        """The command line by which an operator deletes a topic."""
        return (
            f"kafka-topics.sh --bootstrap-server {self._cluster.bootstrap_servers} "
            f"--delete --topic {topic}"
        )

    def settings_line(self, topic: str, settings: Mapping[str, str]) -> str:
        """The command line by which an operator sets settings."""
        return configs_line(self._cluster.bootstrap_servers, topic, settings)

    async def _create_without(self, topic: NewTopic, message: str) -> CreatedTopics:
        """Make a topic with as many of its settings as the brokers take."""
        needed = {k: v for k, v in topic.settings.items() if (k, v) in NEEDED}
        attempt = replace(topic, settings=needed)
        if await self._is_refused(attempt):
            raise self._refusal(topic, message)
        refused: dict[str, str] = {}
        for key, value in topic.settings.items():
            more = replace(attempt, settings={**attempt.settings, key: value})
            if await self._is_refused(more):
                refused[key] = value
            else:
                attempt = more
        code, again = (await self._create([attempt]))[topic.name]
        if code and code != _TOPIC_EXISTS:
            raise self._refusal(topic, again)
        warning = (
            f"{topic.name} was made without {describe_values(refused)}, which the "
            f"brokers refuse ({message}): see that it holds all the same, or let an "
            f"operator run `{self.settings_line(topic.name, refused)}`"
        )
        return CreatedTopics(is_ours=not code, warnings=(warning,) if refused else ())

    async def _is_refused(self, topic: NewTopic) -> bool:
        code, _ = (await self._create([topic], validate_only=True))[topic.name]
        return code in _REFUSED

    async def _create(
        self, topics: Sequence[NewTopic], *, validate_only: bool = False
    ) -> dict[str, tuple[int, str]]:
        """Ask for topics; the code and the words of the answer, by name."""
        wanted: list[Any] = [
            (t.name, t.partitions, t.replicas, [], list(t.settings.items()))
            for t in topics
        ]
        request = CreateTopicsRequest(
            create_topic_requests=wanted,
            timeout=_LIMIT_MS,
            validate_only=validate_only,
        )
        response = await self._ask(request, f"to make {[t.name for t in topics]}")
        return {
            name: (code, message or for_code(code).__name__)
            for name, code, message in response.topic_errors
        }

    async def _set(self, topic: str, settings: Mapping[str, str]) -> str | None:
        """Set all or nothing; why not, where the broker refuses."""
        request = SettingsRequest(topic, settings)
        try:
            response = await self._ask(request, f"to set {topic!r}")
        except NotImplementedError:
            return "these brokers let no client set what a topic has"
        for code, message, _, _ in response.responses:
            if code:
                return str(message or for_code(code).__name__)
        return None

    async def _ask(self, request: Any, wish: str) -> Any:
        node = self._controller if self._controller >= 0 else None
        try:
            return await self._cluster.ask(request, node=node)
        except TRANSPORT_ERRORS as error:
            raise LogUnavailableError(f"expected {wish}, but {error!r}") from error

    def _denial(self, topic: NewTopic, code: int) -> LogRefusedError | None:
        """The error, where the brokers do not let this client make topics at all."""
        if code not in UNAUTHORIZED:
            return None
        return refusal_of(
            code,
            f"make topic {topic.name!r}",
            operation="Create",
            name=topic.name,
            options=self._cluster.options,
        )

    def _refusal(self, topic: NewTopic, message: str) -> UnsafeLogError:
        settings = " ".join(f"--config {k}={v}" for k, v in topic.settings.items())
        return UnsafeLogError(
            f"expected to make topic {topic.name!r} of {topic.partitions} partitions "
            f"and {topic.replicas} replicas, but {message}; an operator makes it by "
            f"`kafka-topics.sh --bootstrap-server {self._cluster.bootstrap_servers} "
            f"--create --topic {topic.name} --partitions {topic.partitions} "
            f"--replication-factor {topic.replicas} {settings}`, with other values "
            "where the cluster asks for them"
        )


async def delete_records(
    cluster: Cluster, partition: TopicPartition, before: int
) -> None:
    """Delete the records of a partition below an offset.

    Raises:
        LogUnavailableError: its leader did not answer, or refused.
    """
    leader = cluster.leader(partition)
    if leader is None:
        raise LogUnavailableError(f"expected a leader of {partition}, but none")
    wanted = [(partition.topic, [(partition.partition, before)])]
    request = DeleteRecordsRequest(topics=wanted, timeout_ms=_LIMIT_MS)
    try:
        response = await cluster.ask(request, node=leader.nodeId)
    except TRANSPORT_ERRORS as error:
        raise LogUnavailableError(
            f"expected to delete records of {partition}, but {error!r}"
        ) from error
    for topic in response.topics:
        for _, _, code, *_ in topic[1]:
            if code:
                raise LogUnavailableError(
                    f"expected to delete records of {partition}, but "
                    f"{for_code(code).__name__}"
                )
