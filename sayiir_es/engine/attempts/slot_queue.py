"""Slots: how many attempts run at a time, and who is next.

Theory of operation. Who waits gains one step of priority per aging interval: the
effective priority is `priority − waited / interval`, lower first. Between two attempts
that difference never changes while they wait, because both age alike; so a heap ordered
by `priority × interval + queued_at` will do.

That rank says which *priority* is next: the one of which the first of all that wait is.
Within it the *fairness keys* take turns, and each gives its own first one: who has a
thousand waiting delays another by one a turn. Attempts without a key share one.

An attempt that is withdrawn stays in its heaps as a tombstone, known by its state,
until it comes up, or until tombstones are the larger part.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from sayiir_es.engine.attempts.attempt import State

if TYPE_CHECKING:
    from sayiir_es.engine.attempts.attempt import Attempt

AGING_LEAST_MS = 1_000
"""Aging faster than this would make priorities mean nothing."""

Ranked: TypeAlias = "tuple[int, int, Attempt]"
"""Rank, number in the order of arrival, and the attempt itself."""

TOMBSTONES_FREE = 64
"""Tombstones that are not worth a clean-up."""


@dataclass(slots=True)
class FairnessQueue:
    """What waits with one priority."""

    ranked: list[Ranked] = field(default_factory=list["Ranked"])
    """All of it, as a heap: the first of all comes first."""
    keys: dict[str, list[Ranked]] = field(default_factory=dict[str, "list[Ranked]"])
    """The same by fairness key, each a heap."""
    turns: deque[str] = field(default_factory=deque[str])
    """The keys that have something, the next one first."""

    def add(self, entry: Ranked) -> None:
        """Let an attempt wait."""
        key = entry[2].fairness_key
        heapq.heappush(self.ranked, entry)
        queue = self.keys.get(key)
        if queue is None:
            queue = self.keys[key] = []
            self.turns.append(key)
        heapq.heappush(queue, entry)

    def first(self) -> Ranked | None:
        """What waits longest of all keys."""
        _drop_tombstones(self.ranked)
        return self.ranked[0] if self.ranked else None

    def take(self) -> Attempt | None:
        """The first of the key whose turn it is."""
        while self.turns:
            key = self.turns.popleft()
            queue = self.keys[key]
            _drop_tombstones(queue)
            attempt = heapq.heappop(queue)[2] if queue else None
            if queue:
                self.turns.append(key)
            else:
                del self.keys[key]
            if attempt is not None:
                return attempt
        return None

    def clean_up(self) -> None:
        """Forget all tombstones; whose turn it is stays so."""
        self.ranked = _without_tombstones(self.ranked)
        for key, queue in list(self.keys.items()):
            self.keys[key] = _without_tombstones(queue)


def _drop_tombstones(heap: list[Ranked]) -> None:
    while heap and heap[0][2].state is not State.QUEUED:
        heapq.heappop(heap)


class SlotQueue:
    """A bounded number of slots and a queue for them.

    All are free at first, or so many as `free` says; the others are released later.
    """

    def __init__(
        self, count: int, *, aging_interval_ms: int, free: int | None = None
    ) -> None:
        self.count = count
        """How many slots there are."""
        self.queued = 0
        """How many attempts wait."""
        self._free = count if free is None else free
        self._aging_ms = max(aging_interval_ms, AGING_LEAST_MS)
        self._priorities: dict[int, FairnessQueue] = {}
        self._number = 0

    @property
    def has_free(self) -> bool:
        """Whether an attempt could have a slot now."""
        return self._free > 0

    @property
    def idle(self) -> int:
        """How many slots nobody has and nobody waits for."""
        return 0 if self.queued else max(self._free, 0)

    @property
    def held(self) -> int:
        """How many attempts are in memory: those that wait, and tombstones."""
        return sum(len(waiting.ranked) for waiting in self._priorities.values())

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
        waiting = self._priorities.get(attempt.priority)
        if waiting is None:
            waiting = self._priorities[attempt.priority] = FairnessQueue()
        waiting.add((rank, self._number, attempt))

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
        if self.held > 2 * self.queued + TOMBSTONES_FREE:
            self._clean_up()

    def _clean_up(self) -> None:
        for waiting in self._priorities.values():
            waiting.clean_up()

    def grant(self) -> Attempt | None:
        """The next attempt, with a slot; None if none waits or no slot is free."""
        if self._free <= 0:
            return None
        firsts = [
            (first, waiting)
            for waiting in self._priorities.values()
            if (first := waiting.first()) is not None
        ]
        if not firsts:
            return None
        _, waiting = min(firsts, key=_rank_of)
        attempt = waiting.take()
        assert attempt is not None
        attempt.move(State.GRANTED)
        self.queued -= 1
        self._free -= 1
        return attempt


def _rank_of(first: tuple[Ranked, FairnessQueue]) -> tuple[int, int]:
    return first[0][:2]


def _without_tombstones(heap: list[Ranked]) -> list[Ranked]:
    kept = [entry for entry in heap if entry[2].state is State.QUEUED]
    heapq.heapify(kept)
    return kept
