"""A simulated group: partitions are assigned before the members learn of it.

Heartbeats take some time. A member without a heartbeat for a session's length is
removed, and learns of it by its next heartbeat. Its partitions are assigned to the
other members; the others stay where they are, if that is fair. What a living member
holds of them is assigned to nobody else before it has released it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.log.port import Assignment

if TYPE_CHECKING:
    from tests.simulation.chance import Chance

SESSION_S = 3.0
HEARTBEAT_S = 0.4
LOOK_S = 0.25


class Group:
    """The coordinator."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._heartbeats_s: dict[str, float] = {}
        self._owners: dict[int, str] = {}
        self._holders: dict[int, str] = {}
        """Who was assigned a partition last, and has not released it."""
        self._refused: dict[str, frozenset[int]] = {}
        self._folded: dict[str, frozenset[int]] = {}

    def heartbeat(
        self, member: str, refused: frozenset[int], folded: frozenset[int]
    ) -> tuple[frozenset[int], frozenset[int]]:
        """Take a member's heartbeat; returns what it is assigned, and is to fold."""
        is_new = member not in self._heartbeats_s
        has_changed = self._refused.get(member, frozenset()) != refused
        self._heartbeats_s[member] = asyncio.get_running_loop().time()
        self._refused[member] = refused
        self._folded[member] = folded
        if is_new or has_changed:
            self._share()
        mine = [p for p, owner in self._owners.items() if owner == member]
        assigned = {p for p in mine if self._is_free_for(member, p)}
        assigned |= {p for p in self._owners if self._is_kept_by(member, p)}
        self._holders.update(dict.fromkeys(assigned, member))
        return frozenset(assigned), frozenset(mine) - assigned

    def _is_kept_by(self, member: str, partition: int) -> bool:
        """Whether who serves it keeps it, for its next owner has not folded it."""
        owner = self._owners[partition]
        return (
            owner != member
            and self._holders.get(partition) == member
            and partition not in self._folded.get(owner, ())
            and partition not in self._refused[member]
        )

    def release(self, member: str, partition: int) -> None:
        """A member says that nothing of a partition runs there any more."""
        if self._holders.get(partition) == member:
            del self._holders[partition]

    def _is_free_for(self, member: str, partition: int) -> bool:
        holder = self._holders.get(partition, member)
        return holder == member or holder not in self._heartbeats_s

    def leave(self, member: str) -> None:
        """Remove a member."""
        self._refused.pop(member, None)
        self._folded.pop(member, None)
        if self._heartbeats_s.pop(member, None) is not None:
            self._share()

    async def watch(self) -> None:
        """Remove members without a heartbeat, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_S)
            for member, at_s in list(self._heartbeats_s.items()):
                if loop.time() - at_s > SESSION_S:
                    self.leave(member)

    def _share(self) -> None:
        members = sorted(self._heartbeats_s)
        if not members:
            self._owners.clear()
            return
        most = -(-self._partitions // len(members))
        counts: dict[str, int] = dict.fromkeys(members, 0)
        for partition in range(self._partitions):
            owner = self._owners.get(partition)
            is_taker = owner in self._takers(partition, members)
            if owner in counts and is_taker and counts[owner] < most:
                counts[owner] += 1
                continue
            self._owners.pop(partition, None)
        for partition in range(self._partitions):
            if partition not in self._owners:
                takers = self._takers(partition, members)
                owner = min(takers, key=lambda name: (counts[name], name))
                self._owners[partition] = owner
                counts[owner] += 1

    def _takers(self, partition: int, members: list[str]) -> list[str]:
        return [
            name for name in members if partition not in self._refused[name]
        ] or members


class SimMembership:
    """One member's view; see `log.port.Membership`."""

    exclusive = False

    def __init__(self, group: Group, member: str, chance: Chance) -> None:
        self._group = group
        self._member = member
        self._chance = chance
        self._assigned: frozenset[int] = frozenset()
        self._released: set[int] = set()
        self._epoch = 0
        self._lapses = 0
        self._sent_s = float("-inf")
        self._confirmed_s = float("-inf")
        self._change = asyncio.Event()
        self._beating: asyncio.Task[None] | None = None
        self._refused: frozenset[int] = frozenset()
        self._expected: frozenset[int] = frozenset()
        self._folded: frozenset[int] = frozenset()

    async def join(self, *, briefly: bool = False) -> None:  # noqa: ARG002 (of the port)
        """Begin to send heartbeats."""
        self._beating = asyncio.create_task(self._beat())

    async def leave(self) -> None:
        """Leave the group, and send no heartbeats any more."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        await asyncio.sleep(self._latency())
        self._group.leave(self._member)
        self._expected = frozenset()
        self._become(frozenset())

    def refuse(self, partitions: frozenset[int]) -> None:
        """Say so with the next heartbeat."""
        self._refused = partitions

    def current(self) -> Assignment:
        """The assignment of the last heartbeat."""
        now_s = asyncio.get_running_loop().time()
        if self._confirmed_s != float("-inf") and now_s - self._confirmed_s > SESSION_S:
            self._lapses += 1
            self._confirmed_s = now_s
        return Assignment(
            partitions=self._assigned,
            epoch=self._epoch,
            fresh_at_s=self._sent_s,
            lapses=self._lapses,
            expected=self._expected,
        )

    async def changed(self, since_epoch: int) -> Assignment:
        """Wait until it changes."""
        while self._epoch == since_epoch:
            await self._change.wait()
        return self.current()

    def introduce(self, owner_id: str) -> None:
        """Nothing to note: who lives is not told."""

    def living(self) -> frozenset[str] | None:
        """Not known."""
        return None

    def hold(self, partition: int) -> None:
        """Nothing to tell: the group takes what it assigns for held."""

    def prepare(self, partitions: frozenset[int]) -> None:
        """Say so with the next heartbeat."""
        self._folded = partitions

    def release(self, partition: int) -> None:
        """Tell the group with the next heartbeats, until one arrives."""
        if partition not in self._assigned:
            self._released.add(partition)

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sent_s = loop.time()
            await asyncio.sleep(self._latency())
            if not self._chance.fault("heartbeat lost", self._member, 0.02):
                for partition in self._released:
                    self._group.release(self._member, partition)
                self._released.clear()
                assigned, expected = self._group.heartbeat(
                    self._member, self._refused, self._folded
                )
                await asyncio.sleep(self._latency())
                self.current()  # counts a lapse before it is confirmed again
                self._sent_s, self._confirmed_s = sent_s, loop.time()
                if (assigned, expected) != (self._assigned, self._expected):
                    self._expected = expected
                    self._become(assigned)
            await asyncio.sleep(HEARTBEAT_S)

    def _latency(self) -> float:
        return self._chance.between(f"heartbeat {self._member}", 0.001, 0.02)

    def _become(self, assigned: frozenset[int]) -> None:
        self._assigned = assigned
        self._epoch += 1
        self._change.set()
        self._change = asyncio.Event()
