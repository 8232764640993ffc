"""Assigns partitions to members: balanced, the same from every leader, few moves.

`assign_partitions` is the whole rule, as a pure function. `StickyAssignor` carries it
over Kafka's group protocol: each member names in its user data the partitions that it
was assigned last, and in which generation; and those that it refuses, because it cannot
serve them. aiokafka's own sticky assignor keeps such state on its class, one for all
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
    """What a member was assigned last, and in which generation of the group."""

    generation: int = -1
    partitions: frozenset[int] = frozenset()


def assign_partitions(
    count: int,
    members: Mapping[str, PreviousAssignment],
    refused: Mapping[str, frozenset[int]] | None = None,
) -> dict[str, tuple[int, ...]]:
    """Return the partitions of each member, of those from 0 to `count` - 1.

    A partition goes to a member that does not refuse it; if all do, to any. Shares
    differ by one at most, unless members refuse. A member keeps the partitions that it
    had, up to its share; when two name the same partition, the one of the later
    generation had it. Nothing else moves.
    """
    takers = {p: _takers(p, members, refused or {}) for p in range(count)}
    shares: dict[str, list[int]] = {member: [] for member in members}
    free: list[int] = []
    for partition in range(count if members else 0):
        holders = [m for m in takers[partition] if partition in members[m].partitions]
        if holders:
            holder = min(holders, key=lambda m: (-members[m].generation, m))
            shares[holder].append(partition)
        else:
            free.append(partition)
    for partition in free:
        taker = min(takers[partition], key=lambda m: (len(shares[m]), m))
        shares[taker].append(partition)
    while _level(shares, takers):
        pass
    return {m: tuple(sorted(partitions)) for m, partitions in shares.items()}


def _takers(
    partition: int, members: Iterable[str], refused: Mapping[str, frozenset[int]]
) -> list[str]:
    """The members that do not refuse a partition; all if each of them does."""
    everyone = sorted(members)
    return [m for m in everyone if partition not in refused.get(m, ())] or everyone


def _level(shares: dict[str, list[int]], takers: Mapping[int, list[str]]) -> bool:
    """Move a partition from a large share towards one smaller by two; False: none is.

    Where refusals forbid the direct move, one goes along others' shares: each gives the
    next one a partition that the next one takes.
    """
    for first in sorted(shares, key=lambda m: (-len(shares[m]), m)):
        moves = _moves_from(first, shares, takers)
        last = min([first, *moves], key=lambda m: (len(shares[m]), m))
        if len(shares[first]) - len(shares[last]) > 1:
            while last != first:
                giver, partition = moves[last]
                shares[giver].remove(partition)
                shares[last].append(partition)
                last = giver
            return True
    return False


def _moves_from(
    first: str, shares: Mapping[str, list[int]], takers: Mapping[int, list[str]]
) -> dict[str, tuple[str, int]]:
    """How each member that `first` can give to gets one: from whom, which partition."""
    moves: dict[str, tuple[str, int]] = {}
    reached = [first]
    for giver in reached:
        for partition in sorted(shares[giver], reverse=True):
            if len(reached) == len(shares):
                return moves
            for taker in takers[partition]:
                if taker not in moves and taker != first:
                    moves[taker] = (giver, partition)
                    reached.append(taker)
    return moves


class StickyAssignor:
    """`assign_partitions` for one topic, in the form that aiokafka asks for."""

    name = "sayiir-sticky"

    def __init__(self, topic: str, count: int) -> None:
        self._topic = topic
        self._count = count
        self.previous = PreviousAssignment()
        self.refused: frozenset[int] = frozenset()
        self.sent_refused: frozenset[int] = frozenset()
        """What the last metadata said; a later change needs another assignment."""

    def metadata(self, topics: Iterable[str]) -> Any:
        """Return what this member sends to the leader: its topic and its partitions."""
        user_data: dict[str, object] = {
            "generation": self.previous.generation,
            "partitions": sorted(self.previous.partitions),
        }
        if self.refused:
            user_data["refused"] = sorted(self.refused)
        self.sent_refused = self.refused
        return ConsumerProtocolMemberMetadata(
            _VERSION, list(topics), json.dumps(user_data).encode()
        )

    def assign(self, cluster: object, members: Mapping[str, Any]) -> dict[str, Any]:
        """Return each member's assignment; only the leader of the group is asked."""
        del cluster  # the count is that of the app record, whatever the topic has now
        assignment = assign_partitions(
            self._count,
            {m: _previous_assignment(members[m].user_data) for m in members},
            {m: _refused(members[m].user_data) for m in members},
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


def _refused(user_data: bytes | None) -> frozenset[int]:
    """Return what a member refuses by its own word; nothing when it cannot be read."""
    try:
        return frozenset(int(p) for p in json.loads(user_data or b"{}")["refused"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return frozenset()
