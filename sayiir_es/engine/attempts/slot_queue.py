"""Slots: how many attempts run at a time, and who is next.

Theory of operation. Who waits gains one step of priority per aging interval: the
effective priority is `priority − waited / interval`, lower first. Between two jobs that
difference never changes while they wait, because both age alike; so a heap ordered by
`priority × interval + queued_at` will do. A job that is withdrawn stays in the heap as
a tombstone until it comes up, or until tombstones are the larger part.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sayiir_es.engine.attempts.executor_port import Job

AGING_LEAST_MS = 1_000
"""Aging faster than this would make priorities mean nothing."""

TOMBSTONES_FREE = 64
"""Tombstones that are not worth a clean-up."""


class SlotQueue:
    """A bounded number of slots and a queue for them."""

    def __init__(self, count: int, *, aging_interval_ms: int) -> None:
        self._free = count
        self._aging_ms = max(aging_interval_ms, AGING_LEAST_MS)
        self._heap: list[tuple[int, int, Job]] = []
        self._waiting: dict[int, Job] = {}
        self._number = 0

    @property
    def queued(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    @property
    def has_free(self) -> bool:
        """Whether a job could have a slot now."""
        return self._free > 0

    @property
    def held(self) -> int:
        """How many jobs are in memory: those that wait, and tombstones."""
        return len(self._heap)

    def reserve(self) -> bool:
        """Take a slot at once, if one is free and nobody waits."""
        if self._free <= 0 or self._waiting:
            return False
        self._free -= 1
        return True

    def release(self) -> None:
        """Give a slot back."""
        self._free += 1

    def enqueue(self, job: Job) -> None:
        """Wait for a slot."""
        self._number += 1
        rank = job.priority * self._aging_ms + job.queued_at_ms
        self._waiting[id(job)] = job
        heapq.heappush(self._heap, (rank, self._number, job))

    def withdraw(self, job: Job) -> bool:
        """Stop waiting; False if the job does not wait."""
        if self._waiting.pop(id(job), None) is None:
            return False
        if len(self._heap) > 2 * len(self._waiting) + TOMBSTONES_FREE:
            self._heap = [item for item in self._heap if id(item[2]) in self._waiting]
            heapq.heapify(self._heap)
        return True

    def grant(self) -> Job | None:
        """The next job, with a slot taken for it; None if none waits or is free."""
        if self._free <= 0:
            return None
        while self._heap:
            _, _, job = heapq.heappop(self._heap)
            if self._waiting.pop(id(job), None) is not None:
                self._free -= 1
                return job
        return None
