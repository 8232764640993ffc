"""Threads of our own for sync tasks.

Theory of operation. Threads grow on demand up to a bound and are reused. A thread that
was abandoned (its task was timed out) still runs the user's code, because Python cannot
stop it; it counts no longer, and another may take its place. Results come back to the
event loop in batches: one wake-up for all that ended meanwhile. All threads are
daemons: code that never ends does not keep the process alive.
"""

from __future__ import annotations

import threading
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from contextvars import Context

IDLE_S = 30.0
"""How long a thread without work stays."""


class Call:
    """A function to run on a thread, and what came of it."""

    __slots__ = ("abandoned", "context", "done", "error", "function", "result")

    def __init__(
        self,
        function: Callable[[], object],
        context: Context,
        done: Callable[[Call], None],
    ) -> None:
        self.function = function
        self.context = context
        self.done = done
        self.result: object = None
        self.error: BaseException | None = None
        self.abandoned = False


class TaskThreads:
    """Runs calls on threads; `done` of each is called on the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._ended: deque[Call] = deque()
        self._lock = threading.Lock()
        self._woken = False
        self._closed = False
        self._idle = 0
        self._started = 0
        self.abandoned = 0
        """Threads that still run the code of an abandoned attempt."""

    def submit(self, call: Call) -> None:
        """Run a call on an idle thread, or on a new one."""
        with self._lock:
            grow = self._idle <= self._calls.qsize()
            self._started += grow
            name = f"sayiir-task-{self._started}"
        self._calls.put(call)
        if grow:
            threading.Thread(target=self._run, name=name, daemon=True).start()

    def abandon(self, call: Call) -> None:
        """Its slot is free again; the thread ends when the user's code does."""
        with self._lock:
            call.abandoned = True
            self.abandoned += 1

    def close(self) -> None:
        """End the threads that are idle; the others end with their calls."""
        with self._lock:
            self._closed = True
            idle = self._idle
        for _ in range(idle):
            self._calls.put(None)

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._closed and self._calls.empty():
                    return
                self._idle += 1
            call = self._calls.get()
            with self._lock:
                self._idle -= 1
            if call is None:
                return
            try:
                call.result = call.context.run(call.function)
            except BaseException as error:  # noqa: BLE001 (the attempt's, told there)
                call.error = error
            if not self._report(call):
                return

    def _report(self, call: Call) -> bool:
        """Tell the loop; False if this thread was abandoned and must end."""
        with self._lock:
            self._ended.append(call)
            wake = not self._woken
            self._woken = True
            if call.abandoned:
                self.abandoned -= 1
        if wake:
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                return False  # the loop has closed: nobody wants the result
        return not call.abandoned

    def _deliver(self) -> None:
        with self._lock:
            self._woken = False
            ended, self._ended = self._ended, deque()
        for call in ended:
            call.done(call)
