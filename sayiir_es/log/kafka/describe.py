"""Asks a cluster what its topics are: ids, partitions, replicas, settings.

aiokafka 0.14 has the Metadata request up to version 5, which returns no topic ids.
Versions 11 and 12 (Kafka 2.8 and newer) do, so their structures are defined here. A
topic that was deleted and created again keeps its name but gets another id: only the id
tells the two apart.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, for_code
from aiokafka.protocol.admin import DescribeConfigsRequest
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from sayiir_es.core.model.errors import LogUnavailableError, UnsafeLogError
from sayiir_es.log.kafka.access import refusal_of
from sayiir_es.log.kafka.broker_connection import TRANSPORT_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from io import BytesIO

    from sayiir_es.log.kafka.connection import Cluster

_UNKNOWN_TOPIC = 3
_TOPIC_RESOURCE = 2
_SET_ON_TOPIC = 1
_TEXT = CompactString("utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicDescription:
    """A topic of the cluster; `replicas` is the lowest count of its partitions.

    `settings` are those in force, as far as the broker shows them; `own` are the names
    of those that somebody has set on this topic.
    """

    id: str
    partitions: int
    replicas: int
    settings: Mapping[str, str]
    own: frozenset[str] = frozenset()
    hidden_because: str = ""
    """Why no setting is shown, if the broker says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterDescription:
    """A cluster and those of the wanted topics that exist, by Kafka name."""

    cluster_id: str
    brokers: int
    controller: int
    topics: Mapping[str, TopicDescription]


class _TopicId:
    @staticmethod
    def encode(value: bytes) -> bytes:
        return value

    @staticmethod
    def decode(data: BytesIO) -> bytes:
        return data.read(16)


_NO_ID = bytes(16)
_TOPIC_ID: Any = _TopicId  # for aiokafka any class with these two methods is a type

_REQUEST = Schema(
    (
        "topics",
        CompactArray(("id", _TOPIC_ID), ("name", _TEXT), ("tags", TaggedFields)),
    ),
    ("allow_auto_topic_creation", Boolean),
    ("include_topic_authorized_operations", Boolean),
    ("tags", TaggedFields),
)

_RESPONSE = Schema(
    ("throttle_time_ms", Int32),
    (
        "brokers",
        CompactArray(
            ("node_id", Int32),
            ("host", _TEXT),
            ("port", Int32),
            ("rack", _TEXT),
            ("tags", TaggedFields),
        ),
    ),
    ("cluster_id", _TEXT),
    ("controller_id", Int32),
    (
        "topics",
        CompactArray(
            ("error_code", Int16),
            ("name", _TEXT),
            ("id", _TOPIC_ID),
            ("is_internal", Boolean),
            (
                "partitions",
                CompactArray(
                    ("error_code", Int16),
                    ("partition", Int32),
                    ("leader", Int32),
                    ("leader_epoch", Int32),
                    ("replicas", CompactArray(Int32)),
                    ("isr", CompactArray(Int32)),
                    ("offline_replicas", CompactArray(Int32)),
                    ("tags", TaggedFields),
                ),
            ),
            ("authorized_operations", Int32),
            ("tags", TaggedFields),
        ),
    ),
    ("tags", TaggedFields),
)


def _structure(base: Any, version: int, schema: Any, **more: Any) -> Any:
    fields = {"API_KEY": 3, "API_VERSION": version, "SCHEMA": schema, **more}
    return type(f"Metadata{base.__name__}_v{version}", (base,), fields)


# Made by a call, not by a class statement: type checkers do not know the bases.
_VERSIONS = {
    version: _structure(
        RequestStruct,
        version,
        _REQUEST,
        FLEXIBLE_VERSION=True,
        RESPONSE_TYPE=_structure(Response, version, _RESPONSE),
    )
    for version in (12, 11)
}


class TopicsRequest:
    """Metadata of the named topics, or of all; never creates one."""

    def __init__(self, names: list[str] | None) -> None:
        self._names = names

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> Any:
        """Return the structure in a version that the broker speaks.

        Raises:
            NotImplementedError: it speaks none that gives topic ids.
        """
        lowest, highest = versions.get(3, (0, 0))
        for version, structure in _VERSIONS.items():
            if lowest <= version <= highest:
                topics: list[Any] | None = None
                if self._names is not None:
                    topics = [(_NO_ID, name, {}) for name in self._names]
                return structure(topics, False, False, {})  # noqa: FBT003 - wire order
        raise NotImplementedError(f"Metadata up to version {highest}")


async def describe(cluster: Cluster, names: list[str]) -> ClusterDescription:
    """Return the cluster, with those of the named topics that exist.

    Raises:
        LogUnavailableError: no broker answered.
        LogRefusedError: one refused.
        UnsafeLogError: the brokers are too old to give topics an id.
    """
    try:
        response = await cluster.ask(TopicsRequest(names))
        topic_entries = [
            topic for topic in response.topics if topic[0] != _UNKNOWN_TOPIC
        ]
        for code, name, *_ in topic_entries:
            _check(cluster, code, f"see topic {name!r}", "Describe", name)
        settings = await _settings(cluster, [topic[1] for topic in topic_entries])
    except NotImplementedError as error:
        raise UnsafeLogError(
            "expected brokers that give topics an id (Kafka 2.8 or newer), "
            "but these are older"
        ) from error
    except TRANSPORT_ERRORS as error:
        raise LogUnavailableError(
            f"expected a description of {names!r}, but {error!r}"
        ) from error
    topics: dict[str, TopicDescription] = {}
    for _, name, topic_id, _, partitions, *_ in topic_entries:
        topics[name] = TopicDescription(
            id=base64.urlsafe_b64encode(topic_id).rstrip(b"=").decode(),
            partitions=len(partitions),
            replicas=min((len(p[4]) for p in partitions), default=0),
            settings=settings[name].values,
            own=settings[name].own,
            hidden_because=settings[name].hidden_because,
        )
    return ClusterDescription(
        cluster_id=response.cluster_id or "",
        brokers=len(response.brokers),
        controller=response.controller_id,
        topics=topics,
    )


async def list_topic_names(cluster: Cluster) -> list[str]:
    """The names of all topics of the cluster that this client may see.

    Raises:
        LogUnavailableError: no broker answered.
    """
    try:
        response = await cluster.ask(TopicsRequest(None))
    except (NotImplementedError, *TRANSPORT_ERRORS) as error:
        raise LogUnavailableError(
            f"expected the names of all topics, but {error!r}"
        ) from error
    return sorted(topic[1] for topic in response.topics if not topic[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    values: Mapping[str, str]
    own: frozenset[str]
    hidden_because: str = ""


_HIDDEN = _Settings(values={}, own=frozenset())


async def _settings(cluster: Cluster, names: list[str]) -> dict[str, _Settings]:
    """What the brokers show of the topics' settings: some show nothing of them.

    Raises:
        KafkaError: they did not answer, or do not know a topic yet.
    """
    if not names:
        return {}
    resources = [(_TOPIC_RESOURCE, name, None) for name in names]
    try:
        response = await cluster.ask(DescribeConfigsRequest(resources))
    except (NotImplementedError, IncompatibleBrokerVersion):
        return dict.fromkeys(names, _HIDDEN)
    settings = dict.fromkeys(names, _HIDDEN)
    for code, message, _, name, entries in response.resources:
        if code and for_code(code).retriable:
            raise KafkaError(
                f"settings of {name!r}: {message or for_code(code).__name__}"
            )
        if code:
            settings[name] = replace(
                _HIDDEN, hidden_because=_denial(cluster, name, code)
            )
        else:
            settings[name] = _settings_of(entries)
    return settings


def _denial(cluster: Cluster, name: str, code: int) -> str:
    """Why a broker shows no setting of a topic, and the ACL that it wants."""
    refusal = refusal_of(
        code,
        f"see the settings of {name!r}",
        operation="DescribeConfigs",
        name=name,
        options=cluster.options,
    )
    return for_code(code).__name__ if refusal is None else str(refusal)


def _settings_of(entries: Iterable[Any]) -> _Settings:
    """A value that the broker keeps to itself counts as not shown."""
    shown = [entry for entry in entries if entry[1] is not None]
    return _Settings(
        values={entry[0]: entry[1] for entry in shown},
        own=frozenset(entry[0] for entry in shown if _is_own(entry[3])),
    )


def _is_own(source: object) -> bool:
    """Whether a setting was set on the topic; version 0 says only if it was not."""
    return not source if isinstance(source, bool) else source == _SET_ON_TOPIC


def _check(cluster: Cluster, code: int, what: str, operation: str, name: str) -> None:
    """Raise the refusal that a code says, if it is one."""
    refusal = refusal_of(
        code, what, operation=operation, name=name, options=cluster.options
    )
    if refusal is not None:
        raise refusal
