"""The snapshot store of the memory log, of tests and of simulations: dicts."""

from __future__ import annotations

import itertools
from bisect import bisect_left, insort
from typing import TYPE_CHECKING

from sayiir_es.core.model.child_rows import MESSAGES, owes_message
from sayiir_es.core.model.errors import StoreError
from sayiir_es.core.model.position import Position
from sayiir_es.core.model.rows import DictRows, get_header, get_run
from sayiir_es.core.status.list_entry import RUNNING, entry_of, group_of
from sayiir_es.engine.store.port import GROUPS_MAX
from sayiir_es.engine.store.row_index import (
    CURSOR_PREFIX,
    HEADER,
    PERMITS,
    QUEUES,
    has_ended,
    holds_permits,
    may_owe,
    wakes_at,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sayiir_es.core.model.rows import Changes, Rows
    from sayiir_es.core.status.list_entry import EntryGroup, ListEntry
    from sayiir_es.core.status.search import TimeName


_UNCOUNTED_MAX = 500
"""After so many changed instances they are counted: some milliseconds."""


class MemoryStore:
    """A `SnapshotStore` that lives as long as its process.

    Indexes are scans over the instances that have not ended; only the times of the
    starts and of the last events are kept in order, since a search reads them page by
    page, and how many instances are in each group.
    """

    dirty_rows = 0
    dirty_bytes = 0

    def __init__(self) -> None:
        self._position = Position()
        self._instances: dict[str, DictRows] = {}
        self._live: dict[str, DictRows] = {}
        self._messages: set[tuple[str, str]] = set()
        self._with_permits: set[str] = set()
        self._starts: list[tuple[int, str]] = []
        """(Time of the start, instance id) of every instance with a run, in order."""
        self._updates: list[tuple[int, str]] = []
        """The same by the time of the last event."""
        self._counts: dict[EntryGroup, int] = {}
        self._group_of: dict[str, EntryGroup] = {}
        self._uncounted: set[str] = set()
        """Instances that changed since they were counted."""
        self._has_position = True
        self._is_damaged = False

    @property
    def is_damaged(self) -> bool:
        """Whether it must be opened again: it is empty then."""
        return self._is_damaged

    @property
    def position(self) -> Position:
        """How far the rows that readers see are folded."""
        return self._position

    def rows(self, instance_id: str) -> Rows:
        """The rows of an instance; empty where it has left no trace."""
        rows = self._instances.get(instance_id)
        return rows if rows is not None else self._begin(instance_id)

    def _begin(self, instance_id: str) -> DictRows:
        rows = self._instances[instance_id] = DictRows()
        return rows

    def apply(self, instance_id: str, changes: Changes) -> None:
        """Take over what a fold or an acknowledged decision changed."""
        rows = self._instances.get(instance_id) or self._begin(instance_id)
        self._has_position = False
        before = _times(rows)
        rows.apply(changes)
        after = _times(rows)
        if after != before:
            for order, old, new in zip(
                (self._starts, self._updates), before, after, strict=True
            ):
                _reorder(order, instance_id, old, new)
        self._uncounted.add(instance_id)
        if len(self._uncounted) >= _UNCOUNTED_MAX:
            self._count_changed()
        for key, row in changes.items():
            if key[0] in MESSAGES:
                place = (instance_id, key)
                owes = owes_message(key, row)
                (self._messages.add if owes else self._messages.discard)(place)
        if any(key.startswith(PERMITS) or key in QUEUES for key in changes):
            self._note_permits(instance_id, rows)
        if has_ended(rows.get(HEADER)):
            self._live.pop(instance_id, None)
        else:
            self._live[instance_id] = rows

    def _note_permits(self, instance_id: str, rows: DictRows) -> None:
        of_queues = (key for key in QUEUES if rows.get(key) is not None)
        of_permits = (key for prefix in PERMITS for key in rows.keys(prefix))
        keys = itertools.chain(of_queues, of_permits)
        if any(holds_permits(rows.get(key)) for key in keys):
            self._with_permits.add(instance_id)
        else:
            self._with_permits.discard(instance_id)

    def advance(self, position: Position) -> None:
        """Stand at `position`; what was applied before belongs to it."""
        self._position = position
        self._has_position = True

    async def flush(self, *, durable: bool = False) -> None:  # noqa: ARG002 (port)
        """Nothing: memory is as durable as this store gets.

        Raises:
            StoreError: if rows were applied and no position was given for them.
        """
        if not self._has_position:
            raise StoreError(
                "expected a position for what was applied, but flush came before it"
            )

    def owing(self) -> Iterator[str]:
        """Instances that may owe an attempt or a move, in order."""
        for instance_id, rows in sorted(self._live.items(), key=_by_id):
            keys = (HEADER, *rows.keys(CURSOR_PREFIX))
            if any(may_owe(rows.get(key)) for key in keys):
                yield instance_id

    def messages(self) -> Iterator[tuple[str, str]]:
        """(Instance id, row key) of every row that owes a message, in order."""
        return iter(sorted(self._messages))

    def with_permits(self) -> Iterator[str]:
        """Instances with a permit, limits and start queues in use, in order."""
        return iter(sorted(self._with_permits))

    def timers(
        self, until_ms: int, *, after_ms: int = -1
    ) -> Iterator[tuple[int, str, str]]:
        """(due_at, instance id, chain) of every cursor that wakes in a span of time."""
        timers = [
            (due_at, instance_id, key[len(CURSOR_PREFIX) :])
            for instance_id, rows in self._live.items()
            for key in rows.keys(CURSOR_PREFIX)
            if (due_at := wakes_at(rows.get(key))) is not None
            and after_ms < due_at <= until_ms
        ]
        return iter(sorted(timers))

    def entries(
        self,
        *,
        by: TimeName = "started",
        status: str | None = None,
        before: tuple[int, str] | None = None,
    ) -> Iterator[ListEntry]:
        """What lists say of every instance with a run, or of those in a status."""
        order = self._starts if by == "started" else self._updates
        end = None if before is None else bisect_left(order, before)
        for _, instance_id in reversed(order[:end]):
            rows = self._instances.get(instance_id)
            entry = None if rows is None else entry_of(rows, instance_id)
            if entry is None or status not in (None, entry.status):
                continue
            if by == "started" or entry.status != RUNNING:
                yield entry

    def tally(self) -> Mapping[EntryGroup, int] | None:
        """How many instances with a run there are in each group."""
        self._count_changed()
        return dict(self._counts) if len(self._counts) <= GROUPS_MAX else None

    def _count_changed(self) -> None:
        """Count the instances that changed in the groups that they are in now."""
        counts = self._counts
        for instance_id in self._uncounted:
            old = self._group_of.pop(instance_id, None)
            if old is not None:
                counts[old] -= 1
                if not counts[old]:
                    del counts[old]
            rows = self._instances.get(instance_id)
            entry = None if rows is None else entry_of(rows, instance_id)
            if entry is not None:
                new = self._group_of[instance_id] = group_of(entry)
                counts[new] = counts.get(new, 0) + 1
        self._uncounted.clear()

    def instances(self, *, after: str | None = None) -> Iterator[str]:
        """Every instance id with rows, in order, behind `after`."""
        for instance_id, rows in sorted(self._instances.items(), key=_by_id):
            if rows.rows and (after is None or instance_id > after):
                yield instance_id

    def mark_damaged(self, reason: str) -> None:  # noqa: ARG002 (no file tells it)
        """Forget everything; who opens it again begins at the log's beginning."""
        self._clear()
        self._is_damaged = True

    async def reset(self) -> None:
        """Start again, empty."""
        self._clear()

    def _clear(self) -> None:
        self._is_damaged = False
        self._position = Position()
        self._instances.clear()
        self._live.clear()
        self._messages.clear()
        self._with_permits.clear()
        self._starts.clear()
        self._updates.clear()
        self._counts.clear()
        self._group_of.clear()
        self._uncounted.clear()
        self._has_position = True

    async def close(self) -> None:
        """Nothing: there are no files."""


def _times(rows: Rows) -> tuple[int | None, int | None]:
    """When the run of an instance was started, and when its last event was."""
    header, run = get_header(rows), get_run(rows)
    if header is None or run is None:
        return None, None
    return run.started_at, header.at


def _reorder(
    order: list[tuple[int, str]], instance_id: str, old: int | None, new: int | None
) -> None:
    """Keep an instance by a time that changed."""
    if old == new:
        return
    if old is not None:
        del order[bisect_left(order, (old, instance_id))]
    if new is not None:
        insort(order, (new, instance_id))


def _by_id(item: tuple[str, DictRows]) -> str:
    return item[0]
