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
"""What a virtual clock shows at its start."""


class Handle(asyncio.Handle):
    """What type checkers do not know of a handle."""

    _context: Context


class Timer(asyncio.TimerHandle, Handle):
    """What type checkers do not know of a timer."""

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
        """Cancelled timers leave when their time comes."""


class VirtualClock:
    """Wall time that goes with a virtual loop, and can be moved on; see `Clock`."""

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
        """Let wall time jump ahead; never back."""
        self._start_ms += max(0, at_ms - self.now_ms())
