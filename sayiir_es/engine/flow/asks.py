"""Which attempts of a partition wait for a permit, and which are asked for next.

Theory of operation. Of one key at most as many asks are open as its limit is large, or
as its rate lets begin in a second: so the limit always has somebody of this partition
to lend the next permit to, and never more than it could lend. All others wait here,
first by priority, which ages as it does for slots, then by age. What waits here is only
a name in memory: it is found again by the rows. When the queues are full, what comes is
turned away and is found again through the store, as attempts are that find no room to
queue for a slot.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sayiir_es.core.model.rates import parse_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sayiir_es.core.graph.nodes import Concurrency

QUEUED_MAX = 50_000
"""Attempts of one partition that wait here, at about 300 bytes each."""

KEY_QUEUED_MAX = 5_000
"""Those of one key: a key with a million does not keep others out."""


def asks_open_max(limited: Concurrency) -> int:
    """How many asks of one key a partition has open at a time, by what its task says.

    Those that may begin in a second are asked for ahead: an ask takes 10 ms or so.
    """
    if limited.rate is None:
        return limited.limit
    rate = parse_rate(limited.rate)
    most = max(rate.burst, 1_000 * rate.count // rate.period_ms, 1)
    return min(most, limited.limit or most)


class Waiting(NamedTuple):
    """An attempt that waits for a permit, as it is named to the limit."""

    instance_id: str
    path: str
    ask: int


@dataclass(slots=True)
class _Key:
    """What waits under one key, and how many permits are asked for."""

    limited: Concurrency
    queue: list[tuple[int, int, Waiting]] = field(
        default_factory=list["tuple[int, int, Waiting]"]
    )
    asked: int = 0

    @property
    def asked_max(self) -> int:
        """How many asks may be open at a time."""
        return asks_open_max(self.limited)


class Asks:
    """The attempts of one partition that wait for permits."""

    def __init__(self) -> None:
        self._keys: dict[str, _Key] = {}
        self._known: dict[Waiting, str] = {}
        """Every attempt that waits, with its key."""
        self._asked: set[Waiting] = set()
        self._changed: dict[str, None] = {}
        """Keys of which more may be asked for, in order."""
        self._full: set[str] = set()
        """Keys whose queue was full when an attempt came."""
        self._is_full = False
        """Whether the queues in all were full when one came."""
        self._queued = 0
        self._number = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits, and nothing was turned away."""
        return not (self._known or self._full or self._is_full)

    def add(self, key: str, limited: Concurrency, rank: int, waiting: Waiting) -> None:
        """Let an attempt wait, the one of the lowest rank first."""
        if waiting in self._known:
            return
        if self._queued >= QUEUED_MAX:
            self._is_full = True
            return
        queue = self._keys.get(key)
        if queue is None:
            queue = self._keys[key] = _Key(limited=limited)
        queue.limited = limited
        if len(queue.queue) >= KEY_QUEUED_MAX:
            self._full.add(key)
            return
        self._number += 1
        heapq.heappush(queue.queue, (rank, self._number, waiting))
        self._queued += 1
        self._known[waiting] = key
        self._changed[key] = None

    def next_asks(
        self, is_due: Callable[[Waiting], bool]
    ) -> Iterator[tuple[str, Concurrency, Waiting]]:
        """What a permit is to be asked for now: key, its limit, and the attempt."""
        changed, self._changed = self._changed, {}
        for key in changed:
            queue = self._keys.get(key)
            while queue and queue.queue and queue.asked < queue.asked_max:
                _, _, waiting = heapq.heappop(queue.queue)
                self._queued -= 1
                if waiting not in self._known or waiting in self._asked:
                    continue  # its permit came without a further ask
                if is_due(waiting):
                    queue.asked += 1
                    self._asked.add(waiting)
                    yield key, queue.limited, waiting
                else:
                    del self._known[waiting]
            self._forget_if_empty(key)

    def answered(self, waiting: Waiting) -> None:
        """A permit was granted for it."""
        key = self._known.pop(waiting, None)
        queue = None if key is None else self._keys.get(key)
        if key is None or queue is None:
            return
        if waiting in self._asked:  # else an owner before this one has asked
            self._asked.discard(waiting)
            queue.asked -= 1
        self._changed[key] = None

    def take_room(self) -> bool:
        """Whether what was turned away is to be looked for: there is room again."""
        if self._queued * 2 > QUEUED_MAX:
            return False
        found, self._is_full = self._is_full, False
        for key in tuple(self._full):
            queue = self._keys.get(key)
            if queue is None or len(queue.queue) * 2 <= KEY_QUEUED_MAX:
                self._full.discard(key)
                found = True
        return found

    def clear(self) -> None:
        """Forget all: somebody else decides, or all is found again."""
        self._keys.clear()
        self._known.clear()
        self._asked.clear()
        self._changed.clear()
        self._full.clear()
        self._is_full, self._queued = False, 0

    def _forget_if_empty(self, key: str) -> None:
        queue = self._keys.get(key)
        if queue is not None and not (queue.queue or queue.asked):
            del self._keys[key]
