"""The snapshot store port: the rows of all instances of one partition.

Theory of operation. The store is a cache of the log: it may be deleted at any time and
is rebuilt by folding. It is written *behind* the log: `apply` and `advance` change at
once what readers see; `flush` writes a group of changes, together with the position
that they belong to, as one atomic write. After a crash the store is whole, at an
earlier position; the fold goes on from there.

Two adapters pass one contract suite: RocksDB (`rocks.store`) and a dict (`memory`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sayiir_es.core.model.position import Position
    from sayiir_es.core.model.rows import Changes, Rows
    from sayiir_es.core.status.list_entry import EntryGroup, ListEntry
    from sayiir_es.core.status.search import TimeName

FOLD_VERSION = 13
"""Must be raised when `evolve` writes other rows for the same events, or the store
encodes them otherwise: stores of another version are deleted and folded again."""


FLUSH_BYTES = 1 << 18
"""How many bytes may be applied before a flush: RocksDB's batches stay small, and a
flush of a thousand small rows holds the event loop up for 10 ms."""


GROUPS_MAX = 10_000
"""How many groups of instances a store adds up at once: some milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreIdentity:
    """Of which log and fold a store's rows are; another store is not used."""

    cluster_id: str
    events_topic_id: str
    partition: int
    partitions: int
    fold_version: int = FOLD_VERSION


class SnapshotStore(Protocol):
    """Rows by instance, indexes of what is owed, and the position of the rows."""

    @property
    def position(self) -> Position:
        """How far the rows that readers see are folded."""
        ...

    @property
    def dirty_bytes(self) -> int:
        """About how many bytes were applied and not yet flushed."""
        ...

    def rows(self, instance_id: str) -> Rows:
        """The rows of an instance; empty if it has none.

        Reading them may raise `StoreError`.
        """
        ...

    def apply(self, instance_id: str, changes: Changes) -> None:
        """Apply the changes of a fold or of an acknowledged decision."""
        ...

    def advance(self, position: Position) -> None:
        """Set the position; what was applied before belongs to it."""
        ...

    async def flush(self, *, durable: bool = False) -> None:
        """Write the applied changes and the position as one atomic group.

        With `durable` it returns only when a crash of the process cannot lose them any
        more.

        Raises:
            StoreError: if the disk refuses, or rows were applied and no position was
                set for them.
        """
        ...

    def owing(self) -> Iterator[str]:
        """Instances that may owe an attempt or the rest of a decision: a superset.

        These have not ended, and have a buffered signal, or a cursor that awaits an
        attempt, has ended or is broken.
        """
        ...

    def messages(self) -> Iterator[tuple[str, str]]:
        """(Instance id, row key) of every row that owes a message, in order.

        As of `model.child_rows`; those of instances that have ended, too.
        """
        ...

    def with_permits(self) -> Iterator[str]:
        """Instances with a permit or its return owed, limits, start queues; by id.

        Those that have ended, too. Limits and start queues that have permits in use,
        who waits for them, or were set.
        """
        ...

    def timers(
        self, until_ms: int, *, after_ms: int = -1
    ) -> Iterator[tuple[int, str, str]]:
        """(due_at, instance id, chain) of every cursor that wakes in a span of time.

        Behind `after_ms` and up to `until_ms`, in order of time, in epoch milliseconds.
        These cursors sleep, listen with a time-out, have a deadline or back off; their
        instances have not ended.
        """
        ...

    def entries(
        self,
        *,
        by: TimeName = "started",
        status: str | None = None,
        before: tuple[int, str] | None = None,
    ) -> Iterator[ListEntry]:
        """What lists say of every instance with a run, or of those in a status.

        The last started first, or the last changed, and then without those in progress:
        their last event changes all the time. `before` is the (time, instance id)
        behind which to begin. What changes while it is read may be seen as it was
        before; in the order of the changes it may be missed.
        """
        ...

    def tally(self) -> Mapping[EntryGroup, int] | None:
        """How many instances with a run there are in each group, as of now.

        None where there are more than `GROUPS_MAX` groups: to add these up takes long.
        """
        ...

    def instances(self, *, after: str | None = None) -> Iterator[str]:
        """Every instance id with rows, in a stable order, from behind `after` on."""
        ...

    @property
    def is_damaged(self) -> bool:
        """Whether it must not be used any more; opened again, it is empty."""
        ...

    def mark_damaged(self, reason: str) -> None:
        """Let nobody use it any more: it is set aside when it is opened again."""
        ...

    async def close(self) -> None:
        """Flush and close files.

        Raises:
            StoreError: if the disk refuses.
        """
        ...


@runtime_checkable
class StoreOnDisk(Protocol):
    """A store that takes room on a disk."""

    def disk_bytes(self) -> int:
        """How many bytes its files have; reads their folder, from any thread."""
        ...
