"""The rules of an app's topics: their names, how they are created, and their record.

What could lose history is judged in `setting_rules`.

The app record (key `app` on `definitions`) holds the partition count, the cluster's id
and every topic's id of the time when the app was created. At each start the topics are
compared with it: a raised partition count moves keys to other owners, and a topic that
was deleted and created again has another id and begins at offset 0.

When several processes create an app at once, one wins: each tries to create
`definitions` first, and those for which it exists already wait for the record. A crash
in between leaves some topics and no record, as a broker does that makes topics by
itself: whoever waited in vain completes the app, unless there are events.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import UnsafeLogError
from sayiir_es.log.port import APP_TOPICS, Topic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sayiir_es.log.kafka.describe import ClusterDescription, TopicDescription
    from sayiir_es.log.port import LogIdentity

APP_KEY = b"app"
HOUR_MS = 60 * 60 * 1000
DAY_MS = 24 * HOUR_MS
REPLY_PARTITIONS = 8
"""Of the replies topic; a client reads one of them."""
# A quarter more than Kafka's default, which commands have: a dead letter holds the
# whole record and the reason, and an eighth of a batch is kept for what Kafka adds.
DEAD_LETTER_BYTES = 1_048_588 * 5 // 4
REPLY_BYTES = DEAD_LETTER_BYTES
"""A reply holds one output and what a status says beside it."""
SNAPSHOT_BYTES = DEAD_LETTER_BYTES
"""An output has fitted into an event; the other fields of a snapshot are small."""
SHOWN_MAX = 5
"""How many apps a sentence names."""

_FOREVER = "-1"
TIMESTAMP_TYPE = "message.timestamp.type"
APPEND_TIME = "LogAppendTime"


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
    if topic is not Topic.EVENTS:
        # A record is as old as it is here, whatever its producer's clock or stream
        # says: none is refused, and none is over its retention when it arrives. The
        # time of an event is its owner's decision; a wrong clock is to be refused.
        settings[TIMESTAMP_TYPE] = APPEND_TIME
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
        case Topic.DEAD_LETTERS:
            settings |= {
                "cleanup.policy": "delete",
                "retention.ms": str(30 * DAY_MS),
                "max.message.bytes": str(DEAD_LETTER_BYTES),
            }
        case Topic.ATTEMPTS | Topic.REQUESTS | Topic.REPLIES:
            settings |= {"cleanup.policy": "delete", "retention.ms": str(HOUR_MS)}
            if topic is Topic.REPLIES:
                settings["max.message.bytes"] = str(REPLY_BYTES)
                count = REPLY_PARTITIONS
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


def similar_apps(app: str, topic_names: Iterable[str]) -> str:
    """A clause that names the apps of a cluster, those first that are like one."""
    endings = tuple(f".{topic.value}" for topic in (Topic.EVENTS, Topic.COMMANDS))
    apps = sorted(
        {name.rpartition(".")[0] for name in topic_names if name.endswith(endings)}
    )
    if not apps:
        return (
            "no app is there yet: `sayiir-es worker run MODULE` makes one, and so does "
            "`sayiir-es topic create`"
        )
    in_small_letters = {one.lower(): one for one in apps}
    alike = [
        in_small_letters[one]
        for one in get_close_matches(app.lower(), in_small_letters, SHOWN_MAX, 0.5)
    ]
    if alike:
        return f"like it are there: {', '.join(map(repr, alike))}"
    more = f" and {len(apps) - SHOWN_MAX} more" if len(apps) > SHOWN_MAX else ""
    return f"apps there: {', '.join(map(repr, apps[:SHOWN_MAX]))}{more}"


def check_identity(value: bytes, now: LogIdentity) -> int:
    """Compare the cluster with the value of the app record.

    Returns how many partitions the app was made with.

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
    if type(partitions) is not int or partitions < 1:
        raise UnsafeLogError(
            f"expected a count of partitions in the app record, but {partitions!r:.200}"
        )
    changed = [role for role, id_ in now.topics.items() if topics.get(role, id_) != id_]
    if changed:
        raise UnsafeLogError(
            f"expected the topics that the app was made with, but {changed} "
            "were deleted and made again: their history is gone; delete all of the "
            "app's topics to begin anew, or restore them from a copy"
        )
    return partitions


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


def check_requests(name: str, description: TopicDescription, partitions: int) -> None:
    """Refuse a requests topic whose partitions are not those of `commands`.

    Raises:
        UnsafeLogError: names what is wrong, and what to do.
    """
    if description.partitions != partitions:
        raise UnsafeLogError(
            f"expected {partitions} partitions of {name}, as commands has, but there "
            f"are {description.partitions}: delete it, and the next worker makes it"
        )
