"""Attempts that wait for an executor elsewhere, by partition and by what they run.

Theory of operation. Each kind of attempt (a task at a place of a graph) has a queue of
its own, so that what nobody takes now holds up nothing else. Who is next is the order
of the slots' queue: by priority, with aging, and in turns by fairness keys. An attempt
may wait for a slot of this process, too; who grants it first has it, and its state says
so to the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.engine.attempts.attempt import State
from sayiir_es.engine.attempts.slot_queue import FairnessQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sayiir_es.engine.attempts.attempt import Attempt
    from sayiir_es.engine.attempts.slot_queue import Ranked
    from sayiir_es.engine.definitions.job import Job

AGING_INTERVAL_MS = 300_000
"""How long an attempt waits to gain one step of priority."""

TOMBSTONES_FREE = 64
"""Entries of a queue before it is looked whether they still wait."""


class _Queue:
    """Attempts of one kind: those of a priority take turns by their fairness keys."""

    def __init__(self) -> None:
        self.priorities: dict[int, FairnessQueue] = {}
        self._count = 0
        """How many are here, with those that wait no more."""
        self._clean_at = TOMBSTONES_FREE

    def push(self, rank: int, number: int, attempt: Attempt) -> None:
        if self._count >= self._clean_at:
            for waiting in self.priorities.values():
                waiting.clean_up()
            self._count = sum(len(one.ranked) for one in self.priorities.values())
            self._clean_at = max(TOMBSTONES_FREE, 2 * self._count)
        queue = self.priorities.get(attempt.priority)
        if queue is None:
            queue = self.priorities[attempt.priority] = FairnessQueue()
        queue.add((rank, number, attempt))
        self._count += 1

    def first(self) -> Ranked | None:
        """What waits longest, of the priority that is next."""
        found = self._next()
        return None if found is None else found[0]

    def take(self) -> Attempt | None:
        """The next: of that priority, of the key whose turn it is."""
        found = self._next()
        return None if found is None else found[1].take()

    def count(self) -> int:
        """How many wait."""
        return sum(
            item[2].state is State.QUEUED
            for queue in self.priorities.values()
            for item in queue.ranked
        )

    def _next(self) -> tuple[Ranked, FairnessQueue] | None:
        best: tuple[Ranked, FairnessQueue] | None = None
        for queue in self.priorities.values():
            first = queue.first()
            if first is not None and (best is None or first[:2] < best[0][:2]):
                best = first, queue
        return best


class WaitingElsewhere:
    """The attempts of this process that an executor elsewhere may take."""

    def __init__(self) -> None:
        self._partitions: dict[int, dict[Job, _Queue]] = {}
        self._number = 0

    def add(self, attempt: Attempt, partition: int) -> None:
        """It waits, as its state says."""
        assert attempt.job is not None
        self._number += 1
        queues = self._partitions.setdefault(partition, {})
        queue = queues.get(attempt.job)
        if queue is None:
            queue = queues[attempt.job] = _Queue()
        rank = attempt.priority * AGING_INTERVAL_MS + attempt.queued_at_ms
        queue.push(rank, self._number, attempt)

    def has(self, job: Job, partition: int) -> bool:
        """Whether an attempt of that kind waits already."""
        queues = self._partitions.get(partition)
        queue = None if queues is None else queues.get(job)
        return queue is not None and queue.first() is not None

    def take(
        self, partition: int, is_taken: Callable[[Job, Attempt], bool]
    ) -> Attempt | None:
        """The next attempt of a partition whose kind is taken; it still is queued.

        `is_taken` is asked with what it runs, and with the one that waits longest.
        """
        queues = self._partitions.get(partition)
        if queues is None:
            return None
        best: Ranked | None = None
        found: _Queue | None = None
        for job, queue in tuple(queues.items()):
            first = queue.first()
            if first is None:
                del queues[job]
            elif (best is None or first[:2] < best[:2]) and is_taken(job, first[2]):
                best, found = first, queue
        if not queues:
            del self._partitions[partition]
        return None if found is None else found.take()

    def partitions(self) -> Iterable[int]:
        """Where attempts wait, or did a moment ago."""
        return tuple(self._partitions)

    def kinds(self, partition: int) -> Iterator[tuple[Job, int]]:
        """What waits there, with how many of each wait."""
        for job, queue in self._partitions.get(partition, {}).items():
            count = queue.count()
            if count:
                yield job, count
