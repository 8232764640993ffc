"""Timers of one partition: those due soon in a heap, the others in the store.

A timer is never cancelled: when it is due, the cursor says whether it still counts.
Only timers that are due before the horizon are in memory; the store's time-ordered
index has every timer, and is read again before the horizon is reached.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sayiir_es.engine.store.port import SnapshotStore

HORIZON_MS = 60_000
"""How far ahead timers are held in memory, in milliseconds. A higher value takes more
memory and fewer reads of the store."""


@dataclass(slots=True)
class Timers:
    """Times at which cursors wake, earliest first."""

    _heap: list[tuple[int, str, str]] = field(
        default_factory=list[tuple[int, str, str]]
    )
    _horizon: int = 0

    def arm(self, due_at: int, instance_id: str, chain: str) -> None:
        """Wake the cursor of `chain` at `due_at`, in epoch milliseconds."""
        if due_at <= self._horizon:
            heapq.heappush(self._heap, (due_at, instance_id, chain))

    def extend(self, store: SnapshotStore, now_ms: int) -> None:
        """Load the store's timers up to a new horizon, when the old one is near.

        The store's index has what was applied and not yet flushed, too.
        """
        if now_ms + HORIZON_MS // 2 < self._horizon:
            return
        armed = set(self._heap)
        self._horizon = now_ms + HORIZON_MS
        for timer in store.timers(self._horizon):
            if timer not in armed:
                heapq.heappush(self._heap, timer)

    def take_due(self, now_ms: int) -> tuple[int, str, str] | None:
        """Remove and return the earliest timer that is due, or return None.

        A timer is its time in epoch milliseconds, the instance id and the chain.
        """
        if self._heap and self._heap[0][0] <= now_ms:
            return heapq.heappop(self._heap)
        return None

    def next_at(self) -> int:
        """When to look again, in epoch milliseconds: at a timer, or to `extend`."""
        half = self._horizon - HORIZON_MS // 2
        return min(self._heap[0][0], half) if self._heap else half

    def clear(self) -> None:
        """Drop all; `extend` loads them again."""
        self._heap.clear()
        self._horizon = 0
