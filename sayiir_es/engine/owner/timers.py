"""Timers of one partition: a heap of the near future, the store for the rest.

A timer is never cancelled: when it fires, the cursor says whether it still means
something. Only what is due within the horizon is in memory; the store's time-ordered
index holds every timer, and is asked again when the horizon is reached.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sayiir_es.engine.store.port import SnapshotStore

HORIZON_MS = 60_000
"""How far ahead timers are held in memory. Memory grows with it, reads shrink."""


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
        """Load what the store holds up to a new horizon, when the old one is near.

        What was applied to the store and not yet flushed is in its index as well.
        """
        if now_ms + HORIZON_MS // 2 < self._horizon:
            return
        known = set(self._heap)
        self._horizon = now_ms + HORIZON_MS
        for timer in store.timers(self._horizon):
            if timer not in known:
                heapq.heappush(self._heap, timer)

    def take_due(self, now_ms: int) -> tuple[int, str, str] | None:
        """The earliest timer that is due, or None."""
        if self._heap and self._heap[0][0] <= now_ms:
            return heapq.heappop(self._heap)
        return None

    def next_at(self) -> int:
        """When to look again, in epoch milliseconds: a timer, or the horizon's half."""
        half = self._horizon - HORIZON_MS // 2
        return min(self._heap[0][0], half) if self._heap else half

    def clear(self) -> None:
        """Forget all; `extend` loads them again."""
        self._heap.clear()
        self._horizon = 0
