"""Assigns partitions to members: balanced, the same from every leader, few moves.

`assign_partitions` is the whole rule, as a pure function. `StickyAssignor` carries it
over Kafka's group protocol: each member names in its user data the partitions that it
was assigned last, and in which generation. aiokafka's own sticky assignor keeps such
state on its class, one for all consumers of a process, and never learns the generation.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_VERSION = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousAssignment:
    """What a member was assigned last, and in which generation of the group."""

    generation: int = -1
    partitions: frozenset[int] = frozenset()


def assign_partitions(
    count: int, members: Mapping[str, PreviousAssignment]
) -> dict[str, tuple[int, ...]]:
    """Return the partitions of each member, of those from 0 to `count` - 1.

    Shares differ by one at most. A member keeps the partitions that it had, up to its
    share; when two name the same partition, the one of the later generation had it.
    Nothing else moves.
    """
    previous: dict[str, list[int]] = {member: [] for member in members}
    for partition in range(count):
        holders = [m for m in members if partition in members[m].partitions]
        if holders:
            holder = min(holders, key=lambda m: (-members[m].generation, m))
            previous[holder].append(partition)
    # The larger shares go to those who had most: otherwise they would lose one.
    order = sorted(members, key=lambda m: (-len(previous[m]), m))
    share, larger = divmod(count, len(members)) if members else (0, 0)
    shares = {m: share + (i < larger) for i, m in enumerate(order)}
    assignment = {m: previous[m][: shares[m]] for m in order}
    assigned = {p for partitions in assignment.values() for p in partitions}
    free = [p for p in range(count) if p not in assigned]
    for member in order:
        more = shares[member] - len(assignment[member])
        assignment[member] += free[:more]
        free = free[more:]
    return {m: tuple(sorted(partitions)) for m, partitions in assignment.items()}


class StickyAssignor:
    """`assign_partitions` for one topic, in the form that aiokafka asks for."""

    name = "sayiir-sticky"

    def __init__(self, topic: str, count: int) -> None:
        self._topic = topic
        self._count = count
        self.previous = PreviousAssignment()

    def metadata(self, topics: Iterable[str]) -> Any:
        """Return what this member sends to the leader: its topic and its partitions."""
        user_data = {
            "generation": self.previous.generation,
            "partitions": sorted(self.previous.partitions),
        }
        return ConsumerProtocolMemberMetadata(
            _VERSION, list(topics), json.dumps(user_data).encode()
        )

    def assign(self, cluster: object, members: Mapping[str, Any]) -> dict[str, Any]:
        """Return each member's assignment; only the leader of the group is asked."""
        del cluster  # the count is that of the app record, whatever the topic has now
        assignment = assign_partitions(
            self._count,
            {m: _previous_assignment(members[m].user_data) for m in members},
        )
        return {
            member: ConsumerProtocolMemberAssignment(
                _VERSION, [(self._topic, list(partitions))], b""
            )
            for member, partitions in assignment.items()
        }

    def on_assignment(self, assignment: object) -> None:
        """Do nothing: `membership` sets `previous`, together with the generation."""


def _previous_assignment(user_data: bytes | None) -> PreviousAssignment:
    """Return what a member had by its own word; nothing when it cannot be read."""
    try:
        fields = json.loads(user_data or b"{}")
        return PreviousAssignment(
            generation=int(fields["generation"]),
            partitions=frozenset(int(p) for p in fields["partitions"]),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return PreviousAssignment()
