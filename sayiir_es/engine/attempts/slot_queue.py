"""Slots: how many attempts run at a time, and who is next.

Theory of operation. Who waits gains one step of priority per aging interval: the
effective priority is `priority − waited / interval`, lower first. Between two attempts
that difference never changes while they wait, because both age alike; so a heap ordered
by `priority × interval + queued_at` will do. An attempt that is withdrawn stays in the
heap as a tombstone, known by its state, until it comes up, or until tombstones are the
larger part.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from sayiir_es.engine.attempts.attempt import State

if TYPE_CHECKING:
    from sayiir_es.engine.attempts.attempt import Attempt

AGING_LEAST_MS = 1_000
"""Aging faster than this would make priorities mean nothing."""

TOMBSTONES_FREE = 64
"""Tombstones that are not worth a clean-up."""


class SlotQueue:
    """A bounded number of slots and a queue for them."""

    def __init__(self, count: int, *, aging_interval_ms: int) -> None:
        self.count = count
        """How many slots there are."""
        self.queued = 0
        """How many attempts wait."""
        self._free = count
        self._aging_ms = max(aging_interval_ms, AGING_LEAST_MS)
        self._heap: list[tuple[int, int, Attempt]] = []
        self._number = 0

    @property
    def has_free(self) -> bool:
        """Whether an attempt could have a slot now."""
        return self._free > 0

    @property
    def held(self) -> int:
        """How many attempts are in memory: those that wait, and tombstones."""
        return len(self._heap)

    def reserve(self, attempt: Attempt) -> bool:
        """Grant a slot at once, if one is free and nobody waits."""
        if self._free <= 0 or self.queued:
            return False
        self._free -= 1
        attempt.move(State.GRANTED)
        return True

    def release(self) -> None:
        """Give a slot back."""
        self._free += 1

    def enqueue(self, attempt: Attempt) -> None:
        """Wait for a slot."""
        attempt.move(State.QUEUED)
        self.queued += 1
        self._number += 1
        rank = attempt.priority * self._aging_ms + attempt.queued_at_ms
        heapq.heappush(self._heap, (rank, self._number, attempt))

    def withdraw(self, attempt: Attempt) -> bool:
        """Stop waiting; False if the attempt does not wait."""
        if attempt.state is not State.QUEUED:
            return False
        self._leave(attempt, State.WITHDRAWN)
        return True

    def pass_on(self, attempt: Attempt) -> None:
        """Stop waiting, for a slot that is none of these."""
        self._leave(attempt, State.GRANTED)

    def _leave(self, attempt: Attempt, state: State) -> None:
        attempt.move(state)
        self.queued -= 1
        if len(self._heap) > 2 * self.queued + TOMBSTONES_FREE:
            self._heap = [item for item in self._heap if item[2].state is State.QUEUED]
            heapq.heapify(self._heap)

    def grant(self) -> Attempt | None:
        """The next attempt, with a slot; None if none waits or no slot is free."""
        if self._free <= 0:
            return None
        while self._heap:
            _, _, attempt = heapq.heappop(self._heap)
            if attempt.state is State.QUEUED:
                attempt.move(State.GRANTED)
                self.queued -= 1
                self._free -= 1
                return attempt
        return None
