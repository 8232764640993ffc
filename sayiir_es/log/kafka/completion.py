"""Makes a whole app of what is there, as long as the app has no record yet.

A broker that creates topics by itself, for the first record or the first reader, gives
them its own number of partitions and its own retention. As long as no event was
written, nothing is lost by giving them what an app needs. What somebody has set on a
topic stays: that was made on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sayiir_es.log.kafka.setting_rules import describe_values, judge_events
from sayiir_es.log.kafka.topic_rules import NewTopic, new_topic, topic_name
from sayiir_es.log.port import APP_TOPICS, Topic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sayiir_es.log.kafka.describe import ClusterDescription
    from sayiir_es.log.kafka.topic_admin import TopicAdmin

REPLICAS = 3
"""Of a new topic, as far as there are brokers."""

REQUEST_TOPICS = (Topic.REQUESTS, Topic.REPLIES)

_ONE_PARTITION = (Topic.DEFINITIONS,)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionResult:
    """What the brokers refused: settings by topic, with the reason; and in words."""

    refused: Mapping[str, Mapping[str, str]]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What is to be made, widened and set, by Kafka's name of the topic."""

    new: tuple[NewTopic, ...]
    widened: Mapping[str, int] = field(default_factory=dict[str, int])
    settings: Mapping[str, Mapping[str, str]] = field(
        default_factory=dict[str, "Mapping[str, str]"]
    )

    @property
    def changes(self) -> Iterator[str]:
        """What happens to topics that are there, in words."""
        for name, count in self.widened.items():
            yield f"{name} is given {count} partitions"
        for name, settings in self.settings.items():
            yield f"{name} is given {describe_values(settings)}"

    async def apply(self, admin: TopicAdmin) -> CompletionResult:
        """Do it.

        Raises:
            LogUnavailableError: nothing answers.
            UnsafeLogError: a topic can be neither made nor widened.
        """
        created = await admin.create(self.new)
        for name, count in self.widened.items():
            await admin.widen(name, count)
        refused: dict[str, Mapping[str, str]] = {}
        warnings = list(created.warnings)
        for name, settings in self.settings.items():
            refused[name] = await admin.set(name, settings)
            if refused[name]:
                kept = {key: settings[key] for key in refused[name]}
                warnings.append(
                    f"{name} could not be given {describe_values(kept)} "
                    f"({next(iter(refused[name].values()))}): an operator sets it by "
                    f"`{admin.settings_line(name, kept)}`"
                )
        return CompletionResult(refused=refused, warnings=tuple(warnings))


def plan_completion(
    app: str,
    description: ClusterDescription,
    *,
    partitions: int,
    replication: int | None,
) -> Completion:
    """What makes a whole app of topics that have no events and no app record."""
    count = _count(app, description, partitions)
    replicas = replication or min(REPLICAS, description.brokers)
    new: list[NewTopic] = []
    widened: dict[str, int] = {}
    settings: dict[str, Mapping[str, str]] = {}
    for topic in (*APP_TOPICS, *REQUEST_TOPICS):
        name = topic_name(app, topic)
        there = description.topics.get(name)
        if there is None:
            new.append(new_topic(app, topic, partitions=count, replicas=replicas))
            continue
        if topic not in _ONE_PARTITION and there.partitions < count:
            widened[name] = count
        wanted = new_topic(
            app, topic, partitions=count, replicas=there.replicas
        ).settings
        missing = {
            key: value
            for key, value in wanted.items()
            # What the broker does not show, nobody knows to be missing.
            if key not in there.own and there.settings.get(key, value) != value
        }
        if missing:
            settings[name] = missing
    return Completion(new=tuple(new), widened=widened, settings=settings)


def _count(app: str, description: ClusterDescription, partitions: int) -> int:
    """How many partitions the app is to have.

    An events topic that keeps history was made by somebody, and so was its count.
    """
    commands = description.topics.get(topic_name(app, Topic.COMMANDS))
    events = description.topics.get(topic_name(app, Topic.EVENTS))
    wide = commands.partitions if commands is not None else 0
    if events is None:
        return max(partitions, wide)
    findings = judge_events("", events, description.brokers)
    is_made_by_somebody = not any(
        finding.change is not None and finding.change[0].startswith("retention")
        for finding in findings
    )
    if is_made_by_somebody:
        return max(events.partitions, wide)
    return max(partitions, wide, events.partitions)
