"""The snapshot store port: the rows of all instances of one partition.

Theory of operation. The store is a cache of the log: it may be deleted at any time and
is rebuilt by folding. It is written *behind* the log: `apply` and `advance` change what
readers see at once, `flush` makes a group of changes durable together with the position
that describes them, as one atomic write. After a crash the store stands at an earlier
position, whole; the fold goes on from there.

Two adapters pass one contract suite: RocksDB (`rocks_store`) and a dict
(`memory_store`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.core.model.position import Position
    from sayiir_es.core.model.rows import Changes, Rows

FOLD_VERSION = 4
"""Raised whenever `evolve` writes other rows for the same events: old stores go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreIdentity:
    """Whose rows a store holds. A store of another log or fold is not used."""

    cluster_id: str
    events_topic_id: str
    partition: int
    partitions: int
    fold_version: int = FOLD_VERSION


class SnapshotStore(Protocol):
    """Rows by instance, indexes of what is owed, and the position they stand at."""

    @property
    def position(self) -> Position:
        """How far the rows that readers see are folded."""
        ...

    @property
    def dirty_bytes(self) -> int:
        """About how much was applied and not yet flushed, in bytes."""
        ...

    def rows(self, instance_id: str) -> Rows:
        """The rows of an instance; empty where it has left no trace."""
        ...

    def apply(self, instance_id: str, changes: Changes) -> None:
        """Take over what a fold or an acknowledged decision changed."""
        ...

    def advance(self, position: Position) -> None:
        """Stand at `position`; what was applied before belongs to it."""
        ...

    async def flush(self, *, durable: bool = False) -> None:
        """Write the applied changes and the position as one atomic group.

        With `durable` it returns only when a crash of the machine's process cannot
        lose them any more.
        """
        ...

    def owing(self) -> Iterator[str]:
        """Instances that may owe an attempt or a move: a superset, cheap to find.

        Those that have not ended and have a cursor that awaits an attempt, has ended
        or is broken, or a buffered signal.
        """
        ...

    def timers(self, until_ms: int) -> Iterator[tuple[int, str, str]]:
        """(due_at, instance id, chain) of every cursor with a time ≤ `until_ms`.

        In order of time. Cursors that sleep, listen with a time-out, have a deadline or
        back off; of instances that have not ended.
        """
        ...

    def instances(self, *, after: str | None = None) -> Iterator[str]:
        """Every instance id with rows, in a stable order, behind `after`."""
        ...

    async def close(self) -> None:
        """Flush and give back files."""
        ...
