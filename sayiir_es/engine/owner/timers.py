"""Timers of one partition: those due soon in a heap, the others in the store.

Theory of operation. A timer is never cancelled: when it is due, the cursor says whether
it still counts. So one that is here twice does no harm. The store's time-ordered index
has every timer. It is read ahead up to a horizon, in portions, and no further than a
number of timers: a time at which a million timers are due costs no more memory than one
at which a thousand are. While a reading goes on, what is armed below its horizon goes
into the heap, for the reading may have passed the place where it would stand.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sayiir_es.core.decide.owed import owed_timer
from sayiir_es.core.model.rows import get_cursor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.core.model.rows import Header, Rows
    from sayiir_es.engine.store.port import SnapshotStore

HORIZON_MS = 60_000
"""How far ahead timers are held in memory, in milliseconds. A higher value takes more
memory and fewer reads of the store."""

LOADED_MAX = 500
"""How many timers are read from the store in one turn: a millisecond or two."""

HELD_MAX = 20_000
"""No timer that is not due is read while so many are held."""


@dataclass(slots=True)
class Timers:
    """Times at which cursors wake, earliest first."""

    _heap: list[tuple[int, str, str]] = field(
        default_factory=list[tuple[int, str, str]]
    )
    _horizon: int = -1
    """What is due until then is in the heap, or will be by `_loading`."""
    _loading: Iterator[tuple[int, str, str]] | None = None
    """The timers up to the horizon that were not yet read from the store."""
    _loaded_at: int = -1
    """Up to when they were read."""

    def arm(self, due_at: int, instance_id: str, chain: str) -> None:
        """Wake the cursor of `chain` at `due_at`, in epoch milliseconds."""
        if due_at <= self._horizon:
            heapq.heappush(self._heap, (due_at, instance_id, chain))

    def arm_cursor(
        self, instance_id: str, chain: str, rows: Rows, header: Header
    ) -> None:
        """Wake the cursor of `chain` when its rows say so, if they do."""
        cursor = get_cursor(rows, chain)
        timer = None if cursor is None else owed_timer(header, chain, cursor)
        if timer is not None:
            self.arm(timer.due_at, instance_id, timer.chain)

    def extend(self, store: SnapshotStore, now_ms: int) -> None:
        """Read on in the store's timers, up to a new horizon when the old one is near.

        The store's index has what was applied and not yet flushed, too.
        """
        if self._loading is None:
            if now_ms + HORIZON_MS // 2 < self._horizon:
                return
            horizon = now_ms + HORIZON_MS
            self._loading = store.timers(horizon, after_ms=self._horizon)
            self._horizon = horizon
        if not self._may_load(now_ms):
            return
        for _ in range(LOADED_MAX):
            timer = next(self._loading, None)
            if timer is None:
                self._loading = None
                return
            heapq.heappush(self._heap, timer)
            self._loaded_at = timer[0]

    def _may_load(self, now_ms: int) -> bool:
        """Whether to read on: there is room, or what is due may not be here yet."""
        if self._loading is None:
            return False
        return (
            len(self._heap) < HELD_MAX or self._heap[0][0] > now_ms >= self._loaded_at
        )

    def is_due(self, now_ms: int) -> bool:
        """Whether a timer is due that is here."""
        return bool(self._heap) and self._heap[0][0] <= now_ms

    def has_more(self, now_ms: int) -> bool:
        """Whether a timer is due, or may be that was not yet read."""
        return self.is_due(now_ms) or self._may_load(now_ms)

    def overdue_ms(self, now_ms: int) -> int:
        """How late the earliest timer is that is here, in milliseconds; 0 if none."""
        return max(0, now_ms - self._heap[0][0]) if self._heap else 0

    def take_due(self, now_ms: int) -> tuple[int, str, str] | None:
        """Remove and return the earliest timer that is due, or return None.

        A timer is its time in epoch milliseconds, the instance id and the chain.
        """
        if self._heap and self._heap[0][0] <= now_ms:
            return heapq.heappop(self._heap)
        return None

    def next_at(self) -> int:
        """When to look again, in epoch milliseconds: at a timer, or to `extend`."""
        if self._loading is not None:
            extend_at = self._loaded_at
        else:
            extend_at = self._horizon - HORIZON_MS // 2
        return min(self._heap[0][0], extend_at) if self._heap else extend_at
