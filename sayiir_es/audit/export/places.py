"""The partitions that an export holds."""

from __future__ import annotations

from dataclasses import dataclass

from sayiir_es.log.port import Topic

TOPICS = (Topic.EVENTS, Topic.DEAD_LETTERS, Topic.COMMANDS, Topic.DEFINITIONS)
"""What is exported, in the order in which the ends are asked for: what an event names
was written before it, so it is below an end that is asked for later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A partition of a topic."""

    topic: Topic
    partition: int

    @property
    def stem(self) -> str:
        """What the names of its files begin with."""
        return f"{self.topic.value}-{self.partition}"


def places(partitions: int) -> list[Place]:
    """Every partition that an export of so many holds."""
    return [
        Place(topic=topic, partition=partition)
        for topic in TOPICS
        for partition in range(1 if topic is Topic.DEFINITIONS else partitions)
    ]
