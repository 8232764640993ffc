"""Assigns partitions to members: balanced, the same from every leader, few moves.

Theory of operation. `assign_partitions` is the whole rule, as a pure function. A
partition moves in two steps, as with Kafka's cooperative assignors: as long as a member
says that it holds it, nobody else is assigned it; when that member has let end what
runs there, it joins again without it, and the partition is assigned to its next owner.
This is for liveness only, so that no attempt is cut short: who owns is decided by the
claims.

`StickyAssignor` carries the rule over Kafka's group protocol: each member names in its
user data the partitions that it was assigned last, in which generation, and those that
it holds. What an older build does not say, or a leader of an older build does not read,
moves partitions in one step. aiokafka's own sticky assignor keeps such state on its
class, one for all consumers of a process, and never learns the generation.
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
    """What a member was assigned last, in which generation, and what it holds."""

    generation: int = -1
    partitions: frozenset[int] = frozenset()
    held: frozenset[int] = frozenset()
    """The partitions that it serves, assigned to it or not."""


def assign_partitions(
    count: int, members: Mapping[str, PreviousAssignment]
) -> dict[str, tuple[int, ...]]:
    """Return the partitions of each member, of those from 0 to `count` - 1.

    Shares differ by one at most. A member keeps the partitions that it had, up to its
    share; when two name the same partition, the one of the later generation had it.
    Nothing else moves. A partition of one member's share that another one holds is
    assigned to neither.
    """
    holders = _holders(count, members)
    previous = {
        member: [p for p in range(count) if holders.get(p) == member and p in had]
        for member, had in ((m, members[m].partitions) for m in members)
    }
    # The larger shares go to those who had most: otherwise they would lose one.
    order = sorted(members, key=lambda m: (-len(previous[m]), m))
    share, larger = divmod(count, len(members)) if members else (0, 0)
    shares = {m: share + (i < larger) for i, m in enumerate(order)}
    assignment = {m: previous[m][: shares[m]] for m in order}
    assigned = {p for partitions in assignment.values() for p in partitions}
    free = [p for p in range(count) if p not in assigned]
    for partition in list(free):  # what its holder has room for stays
        holder = holders.get(partition)
        if holder is not None and len(assignment[holder]) < shares[holder]:
            assignment[holder].append(partition)
            free.remove(partition)
    for member in order:
        more = shares[member] - len(assignment[member])
        assignment[member] += free[:more]
        free = free[more:]
    return {
        member: tuple(
            p
            for p in sorted(partitions)
            if (holder := holders.get(p, member)) == member
            or p not in members[holder].held
        )
        for member, partitions in assignment.items()
    }


def _holders(count: int, members: Mapping[str, PreviousAssignment]) -> dict[int, str]:
    """Who had each partition last; of one that nobody had, who still holds it."""
    holders: dict[int, str] = {}
    for partition in range(count):
        candidates = [m for m in members if partition in members[m].partitions] or [
            m for m in members if partition in members[m].held
        ]
        if candidates:
            key = {m: (-members[m].generation, m) for m in candidates}
            holders[partition] = min(candidates, key=key.__getitem__)
    return holders


class StickyAssignor:
    """`assign_partitions` for one topic, in the form that aiokafka asks for."""

    name = "sayiir-sticky"

    def __init__(self, topic: str, count: int) -> None:
        self._topic = topic
        self._count = count
        self.previous = PreviousAssignment()
        self.owner_id = ""
        self.living: frozenset[str] | None = None
        """The owner ids of all members, if this one leads the group now."""
        self.held: set[int] = set()
        self.held_at_join: frozenset[int] = frozenset()
        """What the group has been told."""

    def metadata(self, topics: Iterable[str]) -> Any:
        """Return what this member sends to the leader: its topic and its partitions."""
        self.held_at_join = frozenset(self.held)
        self.living = None
        user_data = {
            "owner": self.owner_id,
            "generation": self.previous.generation,
            "partitions": sorted(self.previous.partitions),
            "held": sorted(self.held),
        }
        return ConsumerProtocolMemberMetadata(
            _VERSION, list(topics), json.dumps(user_data).encode()
        )

    def assign(self, cluster: object, members: Mapping[str, Any]) -> dict[str, Any]:
        """Return each member's assignment; only the leader of the group is asked."""
        del cluster  # the count is that of the app record, whatever the topic has now
        owners = frozenset(_owner_id(members[m].user_data) for m in members)
        self.living = None if "" in owners else owners
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


def _owner_id(user_data: bytes | None) -> str:
    """By which name a member claims; empty for one of an older build."""
    try:
        return str(json.loads(user_data or b"{}")["owner"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _previous_assignment(user_data: bytes | None) -> PreviousAssignment:
    """Return what a member had by its own word; nothing when it cannot be read."""
    try:
        fields = json.loads(user_data or b"{}")
        return PreviousAssignment(
            generation=int(fields["generation"]),
            partitions=frozenset(int(p) for p in fields["partitions"]),
            held=frozenset(int(p) for p in fields.get("held", ())),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return PreviousAssignment()
