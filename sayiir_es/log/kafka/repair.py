"""What can be mended of an app's topics, and the lines for what only an admin can do.

Nothing that holds a record is deleted, no history is cut, and the number of partitions
of an app that has its record is never changed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import UnsafeLogError
from sayiir_es.log.kafka import topic_rules
from sayiir_es.log.kafka.completion import REPLICAS, plan_completion
from sayiir_es.log.kafka.setting_rules import describe_values, judge
from sayiir_es.log.kafka.topic_admin import TopicAdmin
from sayiir_es.log.port import APP_TOPICS, Topic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.log.kafka.connection import Cluster
    from sayiir_es.log.kafka.describe import ClusterDescription, TopicDescription
    from sayiir_es.log.kafka.opening import Opening


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairPlan:
    """What can be mended, and what cannot; `steps` and `impossible` are for people.

    Attributes:
        steps: What would be done.
        impossible: What only an admin can do, with how.
        settings: What is to be set, by Kafka's name of the topic.
        remade: Topics that hold nothing and have a shape that cannot be changed.
        is_unfinished: Whether the app has no record yet, and is to be completed.
    """

    steps: tuple[str, ...] = ()
    impossible: tuple[str, ...] = ()
    settings: Mapping[str, Mapping[str, str]]
    remade: tuple[str, ...] = ()
    is_unfinished: bool = False


NOTHING = RepairPlan(settings={})


class AppRepair:
    """Plans and does what can be mended of one app's topics."""

    def __init__(self, cluster: Cluster, opening: Opening, app: str) -> None:
        self._cluster = cluster
        self._opening = opening
        self._app = app

    async def plan(self, *, partitions: int, replication: int | None) -> RepairPlan:
        """What is to be done; changes nothing.

        Raises:
            LogUnavailableError: nothing answers.
        """
        found = await self._opening.read()
        description = found.description
        if not description.topics:
            return NOTHING
        missing = topic_rules.missing_topics(self._app, description)
        if found.app_record is None:
            return await self._plan_unfinished(description, partitions, replication)
        if missing:
            words = (
                f"{', '.join(missing)} was deleted: restore it from a copy, or delete "
                "the other topics of the app to begin anew"
            )
            return RepairPlan(settings={}, impossible=(words,))
        identity = self._opening.identity_of(description)
        try:
            recorded = topic_rules.check_identity(found.app_record, identity)
        except UnsafeLogError as error:
            return RepairPlan(settings={}, impossible=(str(error),))
        return self._plan_settings(description, recorded)

    async def apply(self, repair: RepairPlan) -> tuple[str, ...]:
        """Do it; returns what the brokers refused, with how an admin does it.

        What completes an app is left to who opens its log behind this.

        Raises:
            LogUnavailableError: nothing answers.
            UnsafeLogError: a topic could not be deleted.
        """
        found = await self._opening.read()
        description = found.description
        admin = TopicAdmin(self._cluster, description.controller)
        failed: list[str] = []
        for name in repair.remade:
            is_used = await self._opening.count_records(description, name) > 0
            if is_used or found.app_record is not None:
                failed.append(f"{name} is in use by now, and stays as it is")
                continue
            await admin.delete(name)
            await self._opening.wait_until_gone(name)
        for name, settings in repair.settings.items():
            refused = await admin.set(name, settings)
            if refused:
                kept = {key: settings[key] for key in refused}
                reason = next(iter(refused.values()))
                line = admin.settings_line(name, kept)
                failed.append(
                    f"the brokers refuse {describe_values(kept)} on {name} ({reason}): "
                    f"`{line}`"
                )
        return tuple(failed)

    def _plan_settings(
        self, description: ClusterDescription, recorded: int
    ) -> RepairPlan:
        settings: dict[str, dict[str, str]] = {}
        impossible: list[str] = []
        for finding in judge(self._app, description):
            if finding.change is not None:
                settings.setdefault(finding.topic, {}).update([finding.change])
            elif finding.topic:
                line = self._line(finding.topic, description.topics[finding.topic])
                impossible.append(f"{finding}: `{line}`")
        impossible += map(str, self._opening.judge_counts(description, recorded))
        return RepairPlan(
            steps=tuple(
                f"set {describe_values(values)} on {name}"
                for name, values in settings.items()
            ),
            impossible=tuple(impossible),
            settings=settings,
        )

    async def _plan_unfinished(
        self, description: ClusterDescription, partitions: int, replication: int | None
    ) -> RepairPlan:
        events = topic_rules.topic_name(self._app, Topic.EVENTS)
        if await self._opening.count_records(description, events):
            name = topic_rules.topic_name(self._app, Topic.DEFINITIONS)
            words = (
                f"{events} has history, but {name} no app record: it was deleted; "
                "restore it from a copy"
            )
            return RepairPlan(settings={}, impossible=(words,))
        replicas = replication or min(REPLICAS, description.brokers)
        remade: list[str] = []
        impossible: list[str] = []
        for topic in APP_TOPICS:
            name = topic_rules.topic_name(self._app, topic)
            there = description.topics.get(name)
            if there is None or not _has_wrong_shape(topic, there, replicas):
                continue
            if await self._opening.count_records(description, name):
                line = self._line(name, there)
                impossible.append(
                    f"{name} holds records, and has {there.partitions} partitions and "
                    f"{there.replicas} replicas: `{line}`"
                )
            else:
                remade.append(name)
        kept = {n: one for n, one in description.topics.items() if n not in remade}
        completion = plan_completion(
            self._app,
            replace(description, topics=kept),
            partitions=partitions,
            replication=replication,
        )
        return RepairPlan(
            steps=(
                *(f"delete {name}, it is empty, and make it anew" for name in remade),
                *(
                    f"make {one.name}"
                    for one in completion.new
                    if one.name not in remade
                ),
                *completion.changes,
                "write the app record",
            ),
            impossible=tuple(impossible),
            settings={},
            remade=tuple(remade),
            is_unfinished=True,
        )

    def _line(self, name: str, topic: TopicDescription) -> str:
        """How an admin looks at a topic, or moves it to more brokers."""
        server = f"--bootstrap-server {self._cluster.bootstrap_servers}"
        if topic.replicas == 1:
            return (
                f"kafka-reassign-partitions.sh {server} --execute "
                f"--reassignment-json-file FILE, with the partitions of {name}"
            )
        return (
            f"kafka-configs.sh {server} --describe --all --entity-type topics "
            f"--entity-name {name}"
        )


def _has_wrong_shape(topic: Topic, there: TopicDescription, replicas: int) -> bool:
    """Whether a topic has what can never be changed in place, or only by an admin."""
    if topic is Topic.DEFINITIONS and there.partitions != 1:
        return True
    # Producers may write commands at any time: that topic is never deleted.
    return topic is not Topic.COMMANDS and there.replicas < replicas
