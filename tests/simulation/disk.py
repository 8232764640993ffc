"""Stores that outlive their process, as far as they were written.

A group that was flushed survives a crash only up to some point behind the last durable
one, which is what a store without synced writes promises; and it may be torn: then it
is another's, and is rebuilt.
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
    """What one machine keeps of each partition: groups of changes, in order."""

    def __init__(self, machine: str, chance: Chance) -> None:
        self._machine = machine
        self._chance = chance
        self._groups: dict[int, list[Group]] = {}
        self._durable: dict[int, int] = {}

    def open(self, partition: int) -> DiskStore:
        """The store as the disk has it."""
        store = DiskStore(self, partition)
        for changes, position in self._groups.get(partition, []):
            for instance_id, changed in changes:
                MemoryStore.apply(store, instance_id, changed)
            MemoryStore.advance(store, position)
        return store

    def write(self, partition: int, group: Group, *, durable: bool) -> None:
        """A flush.

        Raises:
            StoreError: the disk is full.
        """
        if self._chance.fault("disk full", self._machine, 0.002):
            raise StoreError("expected room on the disk, but there is none")
        groups = self._groups.setdefault(partition, [])
        if group[0] or not groups or groups[-1][1] != group[1]:
            groups.append(group)
        if durable:
            self._durable[partition] = len(groups)

    def forget(self, partition: int) -> None:
        """A store that was reset."""
        self._groups.pop(partition, None)
        self._durable.pop(partition, None)

    def crash(self) -> None:
        """The machine's process is gone: what was not durable may be, too."""
        for partition, groups in self._groups.items():
            if self._chance.fault("store torn", self._machine, 0.1):
                groups.clear()
                self._durable[partition] = 0
                continue
            kept = self._durable.get(partition, 0)
            share = self._chance.number(f"kept {self._machine}")
            del groups[kept + int(share * (len(groups) - kept + 1)) :]


class DiskStore(MemoryStore):
    """A memory store whose flushes reach a disk."""

    def __init__(self, disk: Disk, partition: int) -> None:
        super().__init__()
        self._disk = disk
        self._partition = partition
        self._dirty: list[tuple[str, Changes]] = []

    def apply(self, instance_id: str, changes: Changes) -> None:
        """Take over what a fold or an acknowledged decision changed."""
        super().apply(instance_id, changes)
        self._dirty.append((instance_id, dict(changes)))

    async def flush(self, *, durable: bool = False) -> None:
        """Write what was applied as one group."""
        await super().flush()
        group = (tuple(self._dirty), self.position)
        self._disk.write(self._partition, group, durable=durable)
        self._dirty.clear()

    async def reset(self) -> None:
        """Start again, empty."""
        await super().reset()
        self._dirty.clear()
        self._disk.forget(self._partition)

    async def close(self) -> None:
        """Flush."""
        await self.flush(durable=True)
