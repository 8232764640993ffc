"""The rules of an app's topics: how they are made, and what could lose history.

The app record (key `app` on `definitions`) holds the partition count, the cluster's id
and every topic's id as they were when the app was made. At each start the topics are
compared with it: a raised partition count moves keys to other owners, and a topic that
was deleted and made again has another id and begins at offset 0.

Creation is a race that one process wins: it makes `definitions` first, and whoever
finds that there waits for the record. A crash in between leaves some topics and no
record, which the next start refuses in words.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiokafka.codec import has_zstd

from sayiir_es.core.model.errors import UnsafeLogError
from sayiir_es.log.port import APP_TOPICS, Topic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sayiir_es.log.kafka.describe import ClusterDescription, TopicDescription
    from sayiir_es.log.port import LogIdentity

APP_KEY = b"app"
DAY_MS = 24 * 60 * 60 * 1000
# A quarter more than Kafka's default for the commands: a letter holds the whole record
# and why it lies here, and an eighth of a batch is kept for frames.
DEAD_LETTER_BYTES = 1_048_588 * 5 // 4
SNAPSHOT_BYTES = DEAD_LETTER_BYTES
"""An output has been an event; what stands beside it in a snapshot is small."""
_FOREVER = "-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTopic:
    """A topic to be made."""

    name: str
    partitions: int
    replicas: int
    settings: Mapping[str, str]


def topic_name(app: str, topic: Topic) -> str:
    """Return Kafka's name of one of the app's topics."""
    return f"{app}.{topic.value}"


def new_topic(app: str, topic: Topic, *, partitions: int, replicas: int) -> NewTopic:
    """Return what one of the app's topics is made with."""
    settings = {"min.insync.replicas": str(min(2, replicas))}
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
                # Whatever a client compresses with, the broker unpacks: we may lack it.
                "compression.type": "uncompressed",
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
    """Return the app record's value: JSON, to be read by people too."""
    fields = {
        "cluster_id": identity.cluster_id,
        "partitions": identity.partitions,
        "topics": dict(sorted(identity.topics.items())),
    }
    return json.dumps(fields, sort_keys=True).encode()


def missing_topics(app: str, found: ClusterDescription) -> list[str]:
    """Return the names of the app's topics that the cluster does not have."""
    names = (topic_name(app, topic) for topic in APP_TOPICS)
    return [name for name in names if name not in found.topics]


def check_identity(recorded: bytes, now: LogIdentity) -> None:
    """Compare the cluster with the app record.

    Raises:
        UnsafeLogError: they differ; names what does.
    """
    try:
        fields = json.loads(recorded)
        was = (fields["cluster_id"], fields["partitions"], dict(fields["topics"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnsafeLogError(
            f"expected an app record on definitions, but it reads {recorded[:200]!r}"
        ) from error
    if was[0] != now.cluster_id:
        raise UnsafeLogError(
            f"expected cluster {was[0]!r:.200}, but this is {now.cluster_id!r}: the "
            "topics were copied; give the app another name or start from empty topics"
        )
    if was[1] != now.partitions:
        raise UnsafeLogError(
            f"expected {was[1]!r:.200} partitions, but there are {now.partitions}: "
            "keys would move to other owners; the count can never be changed in place"
        )
    changed = [role for role, id_ in now.topics.items() if was[2].get(role, id_) != id_]
    if changed:
        raise UnsafeLogError(
            f"expected the topics that the app was made with, but {changed} "
            "were deleted and made again: their history is gone; delete all of the "
            "app's topics to begin anew, or restore them from a copy"
        )


def check_settings(app: str, found: ClusterDescription) -> tuple[str, ...]:
    """Refuse what could lose history; return what is worth a warning.

    Raises:
        UnsafeLogError: names each setting that is wrong, and the value to set.
    """
    topics: Mapping[Topic, TopicDescription] = {
        topic: found.topics[topic_name(app, topic)] for topic in APP_TOPICS
    }
    events = topics[Topic.EVENTS]
    faults = [
        *_lossy_events(topic_name(app, Topic.EVENTS), events, found.brokers),
        *_wrong_shapes(app, topics),
    ]
    if faults:
        listed = "; ".join(faults)
        raise UnsafeLogError(f"expected settings that keep history, but {listed}")
    return tuple(_warnings(app, found.brokers, topics))


def check_snapshots(name: str, found: TopicDescription, partitions: int) -> None:
    """Refuse a snapshots topic that no table can be made of.

    Raises:
        UnsafeLogError: names what is wrong, and what to set.
    """
    policy = found.settings.get("cleanup.policy", "delete")
    if policy != "compact":
        raise UnsafeLogError(
            f"expected a topic that keeps the last of each instance, but {name} has "
            f"cleanup.policy={policy}: set compact"
        )
    if found.partitions != partitions:
        raise UnsafeLogError(
            f"expected {partitions} partitions of {name}, as events has, but there are "
            f"{found.partitions}: delete it, and the next worker makes and fills it"
        )


def _lossy_events(name: str, events: TopicDescription, brokers: int) -> Iterator[str]:
    settings = events.settings
    wanted = {
        "cleanup.policy": "delete",
        "retention.ms": _FOREVER,
        "retention.bytes": _FOREVER,
    }
    if events.replicas > 1:
        wanted["unclean.leader.election.enable"] = "false"
        # An acknowledgement must mean two copies.
        if settings.get("min.insync.replicas", "1") == "1":
            wanted["min.insync.replicas"] = "2"
    for key, value in wanted.items():
        if settings.get(key) != value:
            yield f"{name} has {key}={settings.get(key)}: set {value}"
    if events.replicas == 1 and brokers > 1:
        wish = min(3, brokers)
        yield f"{name} has one replica on {brokers} brokers: reassign it to {wish}"


def _wrong_shapes(app: str, topics: Mapping[Topic, TopicDescription]) -> Iterator[str]:
    for topic in (Topic.COMMANDS, Topic.DEAD_LETTERS, Topic.ATTEMPTS):
        policy = topics[topic].settings.get("cleanup.policy", "delete")
        if policy != "delete":
            yield f"{topic_name(app, topic)} has cleanup.policy={policy}: set delete"
    name = topic_name(app, Topic.DEFINITIONS)
    kept = topics[Topic.DEFINITIONS].settings
    policy = kept.get("cleanup.policy", "delete")
    if policy != "compact" and kept.get("retention.ms") != _FOREVER:
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
        one = topics[topic]
        name = topic_name(app, topic)
        if brokers > 1 and one.replicas == 1:
            yield f"{name} has one replica on {brokers} brokers: reassign it"
        if one.replicas > 1 and one.settings.get("min.insync.replicas") == "1":
            yield f"{name} has min.insync.replicas=1: set 2"
        if one.settings.get("unclean.leader.election.enable") == "true":
            yield f"{name} has unclean.leader.election.enable=true: set false"
    packed = topics[Topic.COMMANDS].settings.get("compression.type", "uncompressed")
    if packed not in {"uncompressed", "gzip"} and not has_zstd():
        yield (
            f"{topic_name(app, Topic.COMMANDS)} has compression.type={packed}: set "
            "uncompressed, or install cramjam; a command in zstd, lz4 or snappy would "
            "stop its partition"
        )
    kept_ms = int(topics[Topic.COMMANDS].settings.get("retention.ms", _FOREVER))
    if 0 <= kept_ms < DAY_MS:
        yield (
            f"{topic_name(app, Topic.COMMANDS)} has retention.ms={kept_ms}: a command "
            f"that waits longer is lost; set at least {DAY_MS}"
        )
