"""Judges the settings of an app's topics: by what they do, not by an exact value.

What could lose history, or stops every append, is a fault: nobody may write. What is
only unwise, and what the broker does not report, is a warning: a managed cluster hides
settings or refuses to change them, and is safe all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import UnsafeLogError
from sayiir_es.log.kafka.topic_rules import (
    APPEND_TIME,
    DAY_MS,
    TIMESTAMP_TYPE,
    topic_name,
)
from sayiir_es.log.port import APP_TOPICS, Topic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sayiir_es.log.kafka.describe import ClusterDescription, TopicDescription

EVENTS_BYTES_MIN = 960_000
"""What `events` must take: a payload of 768 KiB and 48 KiB beside it fill a batch, of
which an eighth is kept for what Kafka adds. Less, and a decision would never fit."""

FOR_EVER_MS = 100 * 365 * DAY_MS
"""Who keeps records so long keeps them: some set the largest number instead of -1."""

FOR_EVER_BYTES = 1 << 60

_FOREVER = "-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicFinding:
    """What is to be said of a topic; `change` is the setting that mends it."""

    topic: str
    finding: str
    advice: str
    is_fault: bool = False
    change: tuple[str, str] | None = None
    is_hidden: bool = False
    """Whether it says only that the broker does not report a setting."""

    def __str__(self) -> str:
        return f"{self.topic} {self.finding}: {self.advice}".strip()


def check_settings(app: str, description: ClusterDescription) -> tuple[str, ...]:
    """Refuse settings that could lose history; return warnings about others.

    Raises:
        UnsafeLogError: names each setting that is wrong, and the value to set.
    """
    findings = judge(app, description)
    refuse_faults(findings)
    return tuple(str(finding) for finding in findings)


def refuse_faults(findings: Iterable[TopicFinding]) -> None:
    """Refuse to write where there is a fault.

    Raises:
        UnsafeLogError: names each setting that is wrong, and the value to set.
    """
    faults = "; ".join(str(finding) for finding in findings if finding.is_fault)
    if faults:
        raise UnsafeLogError(
            f"expected settings that keep history, but {faults}; `sayiir-es doctor "
            "--fix` sets what can be set"
        )


def judge(app: str, description: ClusterDescription) -> tuple[TopicFinding, ...]:
    """What is to be said of the topics of an app; all of them are there."""
    topics: Mapping[Topic, TopicDescription] = {
        topic: description.topics[topic_name(app, topic)] for topic in APP_TOPICS
    }
    events = topics[Topic.EVENTS]
    name = topic_name(app, Topic.EVENTS)
    return (
        *judge_events(name, events, description.brokers),
        *_wrong_shapes(app, topics),
        *_warnings(app, description.brokers, topics),
    )


def describe_values(settings: Mapping[str, str]) -> str:
    """Settings as tools of Kafka take them: `a=1,b=2`."""
    return ",".join(f"{key}={value}" for key, value in settings.items())


def configs_line(bootstrap: str, topic: str, settings: Mapping[str, str]) -> str:
    """The command line by which an operator sets them."""
    return (
        f"kafka-configs.sh --bootstrap-server {bootstrap} --alter --entity-type topics "
        f"--entity-name {topic} --add-config {describe_values(settings)}"
    )


def judge_events(
    name: str, events: TopicDescription, brokers: int
) -> Iterator[TopicFinding]:
    """What could lose events, or takes none."""
    settings = events.settings
    wanted = _wanted_of_events(events)
    for key, (value, is_safe) in wanted.items():
        if key in settings and not is_safe(settings[key]):
            yield _fault(name, key, settings[key], value)
    hidden = {key: value for key, (value, _) in wanted.items() if key not in settings}
    if hidden:
        yield TopicFinding(
            topic=name,
            finding=f"does not show {', '.join(hidden)}",
            advice=(events.hidden_because or "the broker hides it")
            + ", so nobody can check it here; see that it is "
            + describe_values(hidden),
            is_hidden=True,
        )
    yield from _judge_copies(name, events)
    size = _number(settings.get("max.message.bytes"))
    if size is not None and size < EVENTS_BYTES_MIN:
        yield TopicFinding(
            topic=name,
            finding=f"has max.message.bytes={size}, too few for the largest event",
            advice="set 1048588, or more",
            is_fault=True,
            change=("max.message.bytes", "1048588"),
        )
    if events.replicas == 1 and brokers > 1:
        yield TopicFinding(
            topic=name,
            finding=f"has one replica on {brokers} brokers",
            advice=f"reassign it to {min(3, brokers)}",
            is_fault=True,
        )


def _wanted_of_events(
    events: TopicDescription,
) -> dict[str, tuple[str, Callable[[str], bool]]]:
    """Each setting that keeps events: the value to set, and which values do too."""
    wanted: dict[str, tuple[str, Callable[[str], bool]]] = {
        "cleanup.policy": ("delete", lambda policy: _words(policy) <= {"delete"}),
        "retention.ms": (_FOREVER, lambda limit: _is_for_ever(limit, FOR_EVER_MS)),
        "retention.bytes": (
            _FOREVER,
            lambda limit: _is_for_ever(limit, FOR_EVER_BYTES),
        ),
    }
    if events.replicas > 1:
        wanted["unclean.leader.election.enable"] = (
            "false",
            lambda word: word.lower() != "true",
        )
        # An acknowledgement must mean two copies.
        wanted["min.insync.replicas"] = ("2", lambda copies: copies not in ("0", "1"))
    return wanted


def _is_for_ever(limit: str, least: int) -> bool:
    """Whether a retention never ends; what is no number is none that we know."""
    number = _number(limit)
    return number is not None and not 0 <= number < least


def _judge_copies(name: str, events: TopicDescription) -> Iterator[TopicFinding]:
    """An acknowledgement must be possible."""
    copies = _number(events.settings.get("min.insync.replicas"))
    if copies is not None and copies > events.replicas > 0:
        wanted = str(min(2, events.replicas))
        yield TopicFinding(
            topic=name,
            finding=f"has min.insync.replicas={copies} and {events.replicas} replicas, "
            "so the brokers refuse every write",
            advice=f"set {wanted}, or add replicas",
            is_fault=True,
            change=("min.insync.replicas", wanted),
        )


def _fault(topic: str, key: str, value: str, wanted: str) -> TopicFinding:
    return TopicFinding(
        topic=topic,
        finding=f"has {key}={value}",
        advice=f"set {wanted}",
        is_fault=True,
        change=(key, wanted),
    )


def _wrong_shapes(
    app: str, topics: Mapping[Topic, TopicDescription]
) -> Iterator[TopicFinding]:
    for topic in (Topic.COMMANDS, Topic.DEAD_LETTERS, Topic.ATTEMPTS):
        policy = topics[topic].settings.get("cleanup.policy", "delete")
        if not _words(policy) <= {"delete"}:
            yield _fault(topic_name(app, topic), "cleanup.policy", policy, "delete")
    yield from _judge_definitions(
        topic_name(app, Topic.DEFINITIONS), topics[Topic.DEFINITIONS]
    )


def _judge_definitions(
    name: str, definitions: TopicDescription
) -> Iterator[TopicFinding]:
    policy = definitions.settings.get("cleanup.policy")
    keeps_all = _is_for_ever(definitions.settings.get("retention.ms", ""), FOR_EVER_MS)
    if policy is None:
        yield TopicFinding(
            topic=name,
            finding="does not show cleanup.policy",
            advice="the broker hides it; see that it is compact",
            is_hidden=True,
        )
    elif "delete" in _words(policy) and not keeps_all:
        yield _fault(name, "cleanup.policy", policy, "compact")
    if definitions.partitions != 1:
        yield TopicFinding(
            topic=name,
            finding=f"has {definitions.partitions} partitions",
            advice="one is right",
            is_fault=True,
        )


def _warnings(
    app: str, brokers: int, topics: Mapping[Topic, TopicDescription]
) -> Iterator[TopicFinding]:
    if brokers == 1:
        yield TopicFinding(
            topic="",
            finding="a cluster of one broker keeps one copy of history",
            advice="run three brokers, with replication 3 and min.insync.replicas=2, "
            "for anything that matters",
        )
    for topic in (Topic.COMMANDS, Topic.DEFINITIONS):
        yield from _warn_of(topic_name(app, topic), topics[topic], brokers)
    commands = topics[Topic.COMMANDS]
    if commands.settings.get(TIMESTAMP_TYPE) == "CreateTime":
        yield TopicFinding(
            topic=topic_name(app, Topic.COMMANDS),
            finding=f"has {TIMESTAMP_TYPE}=CreateTime",
            advice="a command with an old timestamp may be deleted before it is read; "
            f"set {APPEND_TIME}",
            change=(TIMESTAMP_TYPE, APPEND_TIME),
        )
    retention_ms = _number(commands.settings.get("retention.ms"))
    if retention_ms is not None and 0 <= retention_ms < DAY_MS:
        yield TopicFinding(
            topic=topic_name(app, Topic.COMMANDS),
            finding=f"has retention.ms={retention_ms}",
            advice=f"a command that waits longer is lost; set at least {DAY_MS}",
            change=("retention.ms", str(7 * DAY_MS)),
        )


def _warn_of(
    name: str, description: TopicDescription, brokers: int
) -> Iterator[TopicFinding]:
    settings, replicas = description.settings, description.replicas
    if brokers > 1 and replicas == 1:
        yield TopicFinding(
            topic=name,
            finding=f"has one replica on {brokers} brokers",
            advice="reassign it",
        )
    if replicas > 1 and settings.get("min.insync.replicas") == "1":
        yield TopicFinding(
            topic=name,
            finding="has min.insync.replicas=1",
            advice="set 2",
            change=("min.insync.replicas", "2"),
        )
    if settings.get("unclean.leader.election.enable", "").lower() == "true":
        yield TopicFinding(
            topic=name,
            finding="has unclean.leader.election.enable=true",
            advice="set false",
            change=("unclean.leader.election.enable", "false"),
        )
    compression = settings.get("compression.type", "uncompressed")
    if compression != "uncompressed":
        yield TopicFinding(
            topic=name,
            finding=f"has compression.type={compression}",
            advice="set uncompressed, so that the broker refuses what is small only "
            "while it is compressed",
            change=("compression.type", "uncompressed"),
        )


def _words(policy: str) -> set[str]:
    return {word for part in policy.split(",") if (word := part.strip().lower())}


def _number(value: str | None) -> int | None:
    """A setting that is a number; None where the broker shows none."""
    try:
        return None if value is None else int(value)
    except ValueError:
        return None
