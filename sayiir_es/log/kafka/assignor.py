"""Deals partitions to members: balanced, the same from every leader, few moves.

`deal` is the whole rule, as a pure function. `StickyAssignor` carries it over Kafka's
group protocol: each member names in its user data what it was given last, and in which
generation. aiokafka's own sticky assignor keeps such state on its class, one for all
consumers of a process, and never learns the generation.
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
    """What a member was given last, and in which generation of the group."""

    generation: int = -1
    partitions: frozenset[int] = frozenset()


def assign_partitions(
    count: int, members: Mapping[str, PreviousAssignment]
) -> dict[str, tuple[int, ...]]:
    """Return what each member is given of partitions 0 to `count` - 1.

    Shares differ by one at most. A member keeps what it held, as far as its share goes;
    of two that name the same partition the one of the later generation held it. Nothing
    else moves.
    """
    held: dict[str, list[int]] = {member: [] for member in members}
    for partition in range(count):
        holders = [m for m in members if partition in members[m].partitions]
        if holders:
            holder = min(holders, key=lambda m: (-members[m].generation, m))
            held[holder].append(partition)
    # The larger shares go to those who hold most: they would lose one otherwise.
    order = sorted(members, key=lambda m: (-len(held[m]), m))
    share, larger = divmod(count, len(members)) if members else (0, 0)
    shares = {m: share + (i < larger) for i, m in enumerate(order)}
    kept = {m: held[m][: shares[m]] for m in order}
    taken = {p for partitions in kept.values() for p in partitions}
    free = [p for p in range(count) if p not in taken]
    for member in order:
        wanted = shares[member] - len(kept[member])
        kept[member] += free[:wanted]
        free = free[wanted:]
    return {m: tuple(sorted(partitions)) for m, partitions in kept.items()}


class StickyAssignor:
    """`deal` for one consumer of one topic, in the form that aiokafka asks for."""

    name = "sayiir-sticky"

    def __init__(self, topic: str, count: int) -> None:
        self._topic = topic
        self._count = count
        self.held = PreviousAssignment()

    def metadata(self, topics: Iterable[str]) -> Any:
        """Return what this member tells the leader: its topic and what it holds."""
        told = {
            "generation": self.held.generation,
            "partitions": sorted(self.held.partitions),
        }
        return ConsumerProtocolMemberMetadata(
            _VERSION, list(topics), json.dumps(told).encode()
        )

    def assign(self, cluster: object, members: Mapping[str, Any]) -> dict[str, Any]:
        """Return each member's assignment; only the leader of the group is asked."""
        del cluster  # the count is the recorded one, whatever the topic has now
        dealt = assign_partitions(
            self._count, {m: _held(members[m].user_data) for m in members}
        )
        return {
            member: ConsumerProtocolMemberAssignment(
                _VERSION, [(self._topic, list(partitions))], b""
            )
            for member, partitions in dealt.items()
        }

    def on_assignment(self, assignment: object) -> None:
        """Do nothing: what is held is set with its generation, see `heartbeats`."""


def _held(told: bytes | None) -> PreviousAssignment:
    """Return what a member says it holds; nothing when it cannot be read."""
    try:
        fields = json.loads(told or b"{}")
        return PreviousAssignment(
            generation=int(fields["generation"]),
            partitions=frozenset(int(p) for p in fields["partitions"]),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return PreviousAssignment()
