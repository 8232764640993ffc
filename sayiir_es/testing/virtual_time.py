"""An event loop of virtual time: with nothing to do it jumps to the next timer.

There is no selector: real I/O fails loudly. Nothing ready and nothing scheduled is a
deadlock, and fails.
"""

# pyright: reportPrivateUsage=false
# It overrides the one method of asyncio's loop that runs callbacks.

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import deque
    from contextvars import Context

EPOCH_MS = 1_700_000_000_000
"""The time of a virtual clock at its start."""


class Handle(asyncio.Handle):
    """The parts of a handle that type checkers do not know."""

    _context: Context


class Timer(asyncio.TimerHandle, Handle):
    """The parts of a timer that type checkers do not know."""

    _when: float
    _scheduled: bool


class DeadlockError(Exception):
    """Nothing is ready and nothing is scheduled."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop without I/O; see the module."""

    _ready: deque[Handle]
    _scheduled: list[Timer]

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._now_s

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if not ready:
            if not scheduled:
                raise DeadlockError("expected something to happen, but nothing will")
            self._now_s = max(self._now_s, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self._now_s:
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            if not timer._cancelled:
                ready.append(timer)
        if ready:
            self._run_one()

    def _run_one(self) -> None:
        handle = self._ready.popleft()
        if not handle._cancelled:
            handle._run()

    def _write_to_self(self) -> None:
        """Nothing to wake: there is no selector, and no other thread."""

    def _process_events(self, event_list: object) -> None:
        raise NotImplementedError

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Cancelled timers are removed when their time comes."""


class VirtualClock:
    """Wall time of a virtual loop, which can be moved ahead; see `Clock`."""

    def __init__(self, loop: VirtualLoop, start_ms: int = EPOCH_MS) -> None:
        self._loop = loop
        self._start_ms = start_ms

    def now_ms(self) -> int:
        """Wall time, in milliseconds since the Unix epoch."""
        return self._start_ms + int(self._loop.time() * 1000)

    def monotonic_s(self) -> float:
        """Virtual time, in seconds."""
        return self._loop.time()

    def move_to(self, at_ms: int) -> None:
        """Move wall time ahead; never back."""
        self._start_ms += max(0, at_ms - self.now_ms())
