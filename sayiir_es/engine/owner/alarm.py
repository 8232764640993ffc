"""Wakes an owner that sleeps at the time that it asked for.

Theory of operation. An owner sleeps several times for each workflow, mostly for less
than a millisecond. So the event loop's timer stays set when something else wakes the
owner, and is moved only where the next time asked for comes before it; when it ends,
what is asked for then counts.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

EARLY_S = 0.001
"""So much too early, in seconds, is no matter: clocks and event loops are no better."""


class Alarm:
    """Calls back at a time, by the running event loop's clock, unless it is stopped."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._asked_at_s = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def set(self, within_s: float) -> None:
        """Call back in so many seconds."""
        loop = asyncio.get_running_loop()
        self._asked_at_s = loop.time() + within_s
        if self._timer is None or self._timer.when() > self._asked_at_s + EARLY_S:
            self._arm(loop)

    def stop(self) -> None:
        """Do not call back."""
        self._asked_at_s = math.inf

    def close(self) -> None:
        """Do not call back, and leave nothing on the event loop."""
        self.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(self._asked_at_s, self._ended)

    def _ended(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        if self._asked_at_s <= loop.time() + EARLY_S:
            self.stop()
            self._ring()
        elif self._asked_at_s < math.inf:
            self._arm(loop)
