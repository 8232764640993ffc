"""Assigns partitions to members: balanced, the same from every leader, few moves.

Theory of operation. `assign_partitions` is the whole rule, as a pure function. A
partition goes to a member that does not refuse it, because it cannot serve it. It moves
in two steps, as with Kafka's cooperative assignors: as long as a member says that it
holds it, nobody else is assigned it; when that member has let end what runs there, it
joins again without it, and the partition is assigned to its next owner. Before that
its next owner folds it: as long as a member does not say that it has, the partition
stays where it is served. This is for liveness only, so that no attempt is cut short and
no partition stands still for a fold: who owns is decided by the claims.

`StickyAssignor` carries the rule over Kafka's group protocol: each member names in its
user data the partitions that it was assigned last, in which generation, those that it
holds, those that it has folded, and those that it refuses; in the user data of its
assignment it is told which ones it is to fold. What an older build does not say, or a
leader of an older build does not read, moves partitions in one step. aiokafka's own
sticky assignor keeps such state on its class, one for all consumers of a process, and
never learns the generation.
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
    folded: frozenset[int] | None = None
    """The others that it has folded nearly to their end; None: it does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a member is assigned now, and what it is expected to own after that."""

    assigned: tuple[int, ...]
    expected: tuple[int, ...]


def assign_partitions(
    count: int,
    members: Mapping[str, PreviousAssignment],
    refused: Mapping[str, frozenset[int]] | None = None,
) -> dict[str, tuple[int, ...]]:
    """Return the partitions of each member, of those from 0 to `count` - 1.

    A partition goes to a member that does not refuse it; if all do, to any. Shares
    differ by one at most, unless members refuse. A member keeps the partitions that it
    had, up to its share; when two name the same partition, the one of the later
    generation had it. Nothing else moves. A partition of one member's share that
    another one holds is assigned to neither.
    """
    shares = share_partitions(count, members, refused)
    return {member: share.assigned for member, share in shares.items()}


def share_partitions(
    count: int,
    members: Mapping[str, PreviousAssignment],
    refused: Mapping[str, frozenset[int]] | None = None,
) -> dict[str, Share]:
    """Return what each member is assigned, and what it is expected to own.

    As `assign_partitions` says. A partition of a member's share that it has not folded
    stays with the member that serves it, if that one does not refuse it.
    """
    holders = _holders(count, members)
    takers = {p: _takers(p, members, refused or {}) for p in range(count)}
    shares = _even_shares(count, members, holders, takers)
    assigned: dict[str, list[int]] = {member: [] for member in members}
    for member, partitions in shares.items():
        folded = members[member].folded
        for p in partitions:
            holder = holders.get(p, member)
            is_served = p in members[holder].held and holder in takers[p]
            is_unfolded = folded is not None and p not in folded
            if holder != member and is_served and is_unfolded:
                assigned[holder].append(p)
            elif holder == member or p not in members[holder].held:
                assigned[member].append(p)
    return {
        member: Share(
            assigned=tuple(sorted(assigned[member])),
            expected=tuple(sorted(set(partitions) - set(assigned[member]))),
        )
        for member, partitions in shares.items()
    }


def _even_shares(
    count: int,
    members: Mapping[str, PreviousAssignment],
    holders: Mapping[int, str],
    takers: Mapping[int, list[str]],
) -> dict[str, list[int]]:
    """Whose each partition is to be in the end."""
    shares: dict[str, list[int]] = {member: [] for member in members}
    free: list[int] = []
    for partition in range(count if members else 0):
        holder = holders.get(partition, "")
        is_taker = holder in takers[partition]
        if is_taker and partition in members[holder].partitions:
            shares[holder].append(partition)
        else:
            free.append(partition)
    even = -(-count // max(len(members), 1))
    for partition in list(free):  # what its holder has room for stays
        holder = holders.get(partition, "")
        if holder in takers[partition] and len(shares[holder]) < even:
            shares[holder].append(partition)
            free.remove(partition)
    for partition in free:
        taker = min(takers[partition], key=lambda m: (len(shares[m]), m))
        shares[taker].append(partition)
    while _level(shares, takers):
        pass
    return shares


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

        self.folded: frozenset[int] = frozenset()
        self.sent_folded: frozenset[int] = frozenset()
        self.expected: frozenset[int] = frozenset()
        """What this member is to fold, by the last assignment."""
        self.refused: frozenset[int] = frozenset()
        self.sent_refused: frozenset[int] = frozenset()
        """What the last metadata said; a later change needs another assignment."""

    def metadata(self, topics: Iterable[str]) -> Any:
        """Return what this member sends to the leader: its topic and its partitions."""
        held = self.held - self.refused  # what it refuses it lets go at once
        self.held_at_join = frozenset(held)
        self.living = None
        user_data: dict[str, object] = {
            "owner": self.owner_id,
            "generation": self.previous.generation,
            "partitions": sorted(self.previous.partitions),
            "held": sorted(held),
            "folded": sorted(self.folded),
        }
        self.sent_folded = self.folded
        if self.refused:
            user_data["refused"] = sorted(self.refused)
        self.sent_refused = self.refused
        return ConsumerProtocolMemberMetadata(
            _VERSION, list(topics), json.dumps(user_data).encode()
        )

    def assign(self, cluster: object, members: Mapping[str, Any]) -> dict[str, Any]:
        """Return each member's assignment; only the leader of the group is asked."""
        del cluster  # the count is that of the app record, whatever the topic has now
        owners = frozenset(_owner_id(members[m].user_data) for m in members)
        self.living = None if "" in owners else owners
        shares = share_partitions(
            self._count,
            {m: _previous_assignment(members[m].user_data) for m in members},
            {m: _partitions(members[m].user_data, "refused") for m in members},
        )
        return {
            member: ConsumerProtocolMemberAssignment(
                _VERSION,
                [(self._topic, list(share.assigned))],
                json.dumps({"expected": share.expected}).encode(),
            )
            for member, share in shares.items()
        }

    def on_assignment(self, assignment: Any) -> None:
        """Note what is expected; `membership` sets `previous`, with the generation."""
        self.expected = _partitions(assignment.user_data, "expected")


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
            folded=(
                frozenset(int(p) for p in fields["folded"])
                if "folded" in fields
                else None
            ),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return PreviousAssignment()


def _partitions(user_data: bytes | None, name: str) -> frozenset[int]:
    """Return the partitions under a name; none when it is not there, or unreadable."""
    try:
        return frozenset(int(p) for p in json.loads(user_data or b"{}")[name])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return frozenset()
