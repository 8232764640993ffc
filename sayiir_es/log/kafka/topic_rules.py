"""The rules of an app's topics: how they are created, and what could lose history.

The app record (key `app` on `definitions`) holds the partition count, the cluster's id
and every topic's id of the time when the app was created. At each start the topics are
compared with it: a raised partition count moves keys to other owners, and a topic that
was deleted and created again has another id and begins at offset 0.

When several processes create an app at once, one wins: each tries to create
`definitions` first, and those for which it exists already wait for the record. A crash
in between leaves some topics and no record, which the next start refuses with an error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import UnsafeLogError
from sayiir_es.log.port import APP_TOPICS, Topic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sayiir_es.log.kafka.describe import ClusterDescription, TopicDescription
    from sayiir_es.log.port import LogIdentity

APP_KEY = b"app"
DAY_MS = 24 * 60 * 60 * 1000
# A quarter more than Kafka's default, which commands have: a dead letter holds the
# whole record and the reason, and an eighth of a batch is kept for what Kafka adds.
DEAD_LETTER_BYTES = 1_048_588 * 5 // 4
SNAPSHOT_BYTES = DEAD_LETTER_BYTES
"""An output has fitted into an event; the other fields of a snapshot are small."""
EVENTS_BYTES_MIN = 960_000
"""What `events` must take: a payload of 768 KiB and 48 KiB beside it fill a batch, of
which an eighth is kept for what Kafka adds. Less, and a decision would never fit."""
_FOREVER = "-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTopic:
    """A topic to be created."""

    name: str
    partitions: int
    replicas: int
    settings: Mapping[str, str]


def topic_name(app: str, topic: Topic) -> str:
    """Return Kafka's name of one of the app's topics."""
    return f"{app}.{topic.value}"


def new_topic(app: str, topic: Topic, *, partitions: int, replicas: int) -> NewTopic:
    """Return one of the app's topics with the settings that it is created with."""
    settings = {
        "min.insync.replicas": str(min(2, replicas)),
        # The broker unpacks what producers compress, and refuses what is too large
        # then: no reader has to unpack a batch that expands to anything.
        "compression.type": "uncompressed",
    }
    count = partitions
    match topic:
        case Topic.EVENTS:
            settings |= {
                "cleanup.policy": "delete",
                "retention.ms": _FOREVER,
                "retention.bytes": _FOREVER,
                "unclean.leader.election.enable": "false",
            }
        case Topic.COMMANDS:
            settings |= {
                "cleanup.policy": "delete",
                "retention.ms": str(7 * DAY_MS),
                "unclean.leader.election.enable": "false",
            }
        case Topic.DEAD_LETTERS | Topic.ATTEMPTS:
            settings |= {"cleanup.policy": "delete", "retention.ms": str(30 * DAY_MS)}
            if topic is Topic.DEAD_LETTERS:
                settings["max.message.bytes"] = str(DEAD_LETTER_BYTES)
        case Topic.DEFINITIONS:
            settings |= {"cleanup.policy": "compact"}
            count = 1
        case Topic.SNAPSHOTS:
            settings |= {
                "cleanup.policy": "compact",
                "max.message.bytes": str(SNAPSHOT_BYTES),
            }
    return NewTopic(
        name=topic_name(app, topic),
        partitions=count,
        replicas=replicas,
        settings=settings,
    )


def app_record(identity: LogIdentity) -> bytes:
    """Return the app record's value: JSON, which people can read too."""
    fields = {
        "cluster_id": identity.cluster_id,
        "partitions": identity.partitions,
        "topics": dict(sorted(identity.topics.items())),
    }
    return json.dumps(fields, sort_keys=True).encode()


def missing_topics(app: str, description: ClusterDescription) -> list[str]:
    """Return the names of the app's topics that the cluster does not have."""
    names = (topic_name(app, topic) for topic in APP_TOPICS)
    return [name for name in names if name not in description.topics]


def check_identity(value: bytes, now: LogIdentity) -> None:
    """Compare the cluster with the value of the app record.

    Raises:
        UnsafeLogError: they differ; the message says in what.
    """
    try:
        fields = json.loads(value)
        cluster_id, partitions = fields["cluster_id"], fields["partitions"]
        topics = dict(fields["topics"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnsafeLogError(
            f"expected an app record on definitions, but it reads {value[:200]!r}"
        ) from error
    if cluster_id != now.cluster_id:
        raise UnsafeLogError(
            f"expected cluster {cluster_id!r:.200}, but this is {now.cluster_id!r}: "
            "the topics were copied; give the app another name or start from empty "
            "topics"
        )
    if partitions != now.partitions:
        raise UnsafeLogError(
            f"expected {partitions!r:.200} partitions, but there are {now.partitions}: "
            "keys would move to other owners; the count can never be changed in place"
        )
    changed = [role for role, id_ in now.topics.items() if topics.get(role, id_) != id_]
    if changed:
        raise UnsafeLogError(
            f"expected the topics that the app was made with, but {changed} "
            "were deleted and made again: their history is gone; delete all of the "
            "app's topics to begin anew, or restore them from a copy"
        )


def check_settings(app: str, description: ClusterDescription) -> tuple[str, ...]:
    """Refuse settings that could lose history; return warnings about others.

    Raises:
        UnsafeLogError: names each setting that is wrong, and the value to set.
    """
    topics: Mapping[Topic, TopicDescription] = {
        topic: description.topics[topic_name(app, topic)] for topic in APP_TOPICS
    }
    events = topics[Topic.EVENTS]
    faults = [
        *_lossy_events(topic_name(app, Topic.EVENTS), events, description.brokers),
        *_wrong_shapes(app, topics),
    ]
    if faults:
        listed = "; ".join(faults)
        raise UnsafeLogError(f"expected settings that keep history, but {listed}")
    return tuple(_warnings(app, description.brokers, topics))


def check_snapshots(name: str, description: TopicDescription, partitions: int) -> None:
    """Refuse a snapshots topic that no table can be made of.

    Raises:
        UnsafeLogError: names what is wrong, and what to set.
    """
    policy = description.settings.get("cleanup.policy", "delete")
    if policy != "compact":
        raise UnsafeLogError(
            f"expected a topic that keeps the last of each instance, but {name} has "
            f"cleanup.policy={policy}: set compact"
        )
    if description.partitions != partitions:
        raise UnsafeLogError(
            f"expected {partitions} partitions of {name}, as events has, but there are "
            f"{description.partitions}: delete it, and the next worker makes and fills "
            "it"
        )


def _lossy_events(name: str, events: TopicDescription, brokers: int) -> Iterator[str]:
    settings = events.settings
    required = {
        "cleanup.policy": "delete",
        "retention.ms": _FOREVER,
        "retention.bytes": _FOREVER,
    }
    if events.replicas > 1:
        required["unclean.leader.election.enable"] = "false"
        # An acknowledgement must mean two copies.
        if settings.get("min.insync.replicas", "1") == "1":
            required["min.insync.replicas"] = "2"
    for key, value in required.items():
        if settings.get(key) != value:
            yield f"{name} has {key}={settings.get(key)}: set {value}"
    size = int(settings.get("max.message.bytes", EVENTS_BYTES_MIN))
    if size < EVENTS_BYTES_MIN:
        yield (
            f"{name} has max.message.bytes={size}, too few for the largest event: set "
            "1048588, or more"
        )
    if events.replicas == 1 and brokers > 1:
        advised = min(3, brokers)
        yield f"{name} has one replica on {brokers} brokers: reassign it to {advised}"


def _wrong_shapes(app: str, topics: Mapping[Topic, TopicDescription]) -> Iterator[str]:
    for topic in (Topic.COMMANDS, Topic.DEAD_LETTERS, Topic.ATTEMPTS):
        policy = topics[topic].settings.get("cleanup.policy", "delete")
        if policy != "delete":
            yield f"{topic_name(app, topic)} has cleanup.policy={policy}: set delete"
    name = topic_name(app, Topic.DEFINITIONS)
    settings = topics[Topic.DEFINITIONS].settings
    policy = settings.get("cleanup.policy", "delete")
    if policy != "compact" and settings.get("retention.ms") != _FOREVER:
        yield f"{name} has cleanup.policy={policy}: set compact"
    count = topics[Topic.DEFINITIONS].partitions
    if count != 1:
        yield f"{name} has {count} partitions: one is right"
    commands, events = topics[Topic.COMMANDS], topics[Topic.EVENTS]
    if commands.partitions != events.partitions:
        yield (
            f"commands has {commands.partitions} partitions and events "
            f"{events.partitions}: they must have the same number"
        )


def _warnings(
    app: str, brokers: int, topics: Mapping[Topic, TopicDescription]
) -> Iterator[str]:
    if brokers == 1:
        yield (
            "a cluster of one broker keeps one copy of history: run three brokers, "
            "with replication 3 and min.insync.replicas=2, for anything that matters"
        )
    for topic in (Topic.COMMANDS, Topic.DEFINITIONS):
        description = topics[topic]
        name = topic_name(app, topic)
        if brokers > 1 and description.replicas == 1:
            yield f"{name} has one replica on {brokers} brokers: reassign it"
        if (
            description.replicas > 1
            and description.settings.get("min.insync.replicas") == "1"
        ):
            yield f"{name} has min.insync.replicas=1: set 2"
        if description.settings.get("unclean.leader.election.enable") == "true":
            yield f"{name} has unclean.leader.election.enable=true: set false"
        compression = description.settings.get("compression.type", "uncompressed")
        if compression != "uncompressed":
            yield (
                f"{name} has compression.type={compression}: set uncompressed, so that "
                "the broker refuses what is small only while it is compressed"
            )
    retention_ms = int(topics[Topic.COMMANDS].settings.get("retention.ms", _FOREVER))
    if 0 <= retention_ms < DAY_MS:
        yield (
            f"{topic_name(app, Topic.COMMANDS)} has retention.ms={retention_ms}: a "
            f"command that waits longer is lost; set at least {DAY_MS}"
        )
