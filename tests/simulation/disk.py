"""Stores that survive a crash of their process, as far as they were written.

After a crash there are all groups up to the last durable flush, and some of those after
it: that is what a store without synced writes promises. A store may also be torn: then
it is empty and folded again. A disk may refuse for a moment, when it is full or cannot
be opened; a broken one never opens a store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import StoreError
from sayiir_es.engine.store.memory import MemoryStore

if TYPE_CHECKING:
    from sayiir_es.core.model.position import Position
    from sayiir_es.core.model.rows import Changes
    from tests.simulation.chance import Chance

Group = tuple[tuple[tuple[str, "Changes"], ...], "Position"]


class Disk:
    """What one machine stores of each partition: groups of changes, in order."""

    def __init__(self, machine: str, chance: Chance, *, broken: bool = False) -> None:
        self._broken = broken
        self._machine = machine
        self._chance = chance
        self._groups: dict[int, list[Group]] = {}
        self._durable: dict[int, int] = {}

    def open(self, partition: int) -> DiskStore:
        """Open a store with what is on the disk.

        Raises:
            StoreError: if the disk is broken, or refuses now.
        """
        if self._broken or self._chance.fault("disk refuses", self._machine, 0.03):
            raise StoreError("expected a disk that can be used, but it cannot")
        store = DiskStore(self, partition)
        for changes, position in self._groups.get(partition, []):
            for instance_id, changed in changes:
                MemoryStore.apply(store, instance_id, changed)
            MemoryStore.advance(store, position)
        return store

    def write(self, partition: int, group: Group, *, durable: bool) -> None:
        """Write the group of a flush.

        Raises:
            StoreError: if the disk is full.
        """
        if self._chance.fault("disk full", self._machine, 0.002):
            raise StoreError("expected room on the disk, but there is none")
        groups = self._groups.setdefault(partition, [])
        if group[0] or not groups or groups[-1][1] != group[1]:
            groups.append(group)
        if durable:
            self._durable[partition] = len(groups)

    def forget(self, partition: int) -> None:
        """Delete a store."""
        self._groups.pop(partition, None)
        self._durable.pop(partition, None)

    def crash(self) -> None:
        """The machine's process was killed: what was not durable may be lost."""
        for partition, groups in self._groups.items():
            if self._chance.fault("store torn", self._machine, 0.1):
                groups.clear()
                self._durable[partition] = 0
                continue
            kept_groups = self._durable.get(partition, 0)
            share = self._chance.number(f"kept {self._machine}")
            del groups[kept_groups + int(share * (len(groups) - kept_groups + 1)) :]


class DiskStore(MemoryStore):
    """A memory store whose flushes reach a disk."""

    def __init__(self, disk: Disk, partition: int) -> None:
        super().__init__()
        self._disk = disk
        self._partition = partition
        self._dirty: list[tuple[str, Changes]] = []

    def apply(self, instance_id: str, changes: Changes) -> None:
        """Apply the changes of a fold or of an acknowledged decision."""
        super().apply(instance_id, changes)
        self._dirty.append((instance_id, dict(changes)))

    async def flush(self, *, durable: bool = False) -> None:
        """Write what was applied as one group."""
        await super().flush()
        group = (tuple(self._dirty), self.position)
        self._disk.write(self._partition, group, durable=durable)
        self._dirty.clear()

    def mark_damaged(self, reason: str) -> None:
        """Delete it: it is empty when it is opened again."""
        super().mark_damaged(reason)
        self._dirty.clear()
        self._disk.forget(self._partition)

    async def reset(self) -> None:
        """Start again, empty."""
        await super().reset()
        self._dirty.clear()
        self._disk.forget(self._partition)

    async def close(self) -> None:
        """Flush."""
        await self.flush(durable=True)
