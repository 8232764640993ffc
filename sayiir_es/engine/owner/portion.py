"""How much the owner's loop does before it lets others have a turn.

Heartbeats, readers and other partitions share the event loop with the owner. A turn is
limited by time; and by count, so that a clock that stands still does not matter, and a
test can count. The first part of a turn is for what recovery and timers left behind,
the rest for what came in: neither makes the other wait for more than a turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sayiir_es.engine.clock import Clock

TURN_S = 0.012
"""How long one turn decides, in seconds. What was decided is then made live and acted
on, which takes about half as long again: together less than 20 ms."""


class Portion:
    """What is left of one turn of the owner's loop.

    Attributes:
        units: How many were looked at in this turn.
    """

    __slots__ = ("_began_s", "_now_s", "_units_max", "units")

    def __init__(self, clock: Clock, units_max: int) -> None:
        self._units_max = units_max
        self._now_s = clock.monotonic_s
        self.begin()

    def begin(self) -> None:
        """A turn begins."""
        self.units = 0
        self._began_s = self._now_s()

    def spend(self) -> None:
        """One more is looked at."""
        self.units += 1

    def take(self, share: float = 1.0) -> bool:
        """Spend one more; False if so large a share of the turn is over."""
        if self.is_spent(share):
            return False
        self.units += 1
        return True

    def is_spent(self, share: float = 1.0) -> bool:
        """Whether so large a share of the turn, from its beginning, is over."""
        return (
            self.units >= self._units_max * share
            or self._now_s() - self._began_s >= TURN_S * share
        )
