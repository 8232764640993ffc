"""Threads of our own for sync tasks.

Theory of operation. There are never fewer threads than calls that have not ended, so no
call waits behind another; and never more than the most calls that ran at a time, which
the slots bound. Both numbers change under one lock, and a thread counts as free again
before its result can be seen: who asks for the next call finds it.

A thread that was abandoned (its task was timed out) still runs the user's code, because
Python cannot stop it; it counts no longer, and another may take its place. Results come
back to the event loop in batches: one wake-up for all that ended meanwhile. All threads
are daemons: code that never ends does not keep the process alive.

A task may fork. In the child nobody waits for its result: one that returns ends there.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Literal, TypeAlias

from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

logger = get_logger(__name__)

Phase: TypeAlias = Literal["queued", "running", "ended", "dropped"]


class Call:
    """A function to run on a thread, and what came of it.

    `phase` ends as *dropped*, its error being `asyncio.CancelledError`, if the function
    never ran.
    """

    __slots__ = ("abandoned", "context", "done", "error", "function", "phase", "result")

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
        self.phase: Phase = "queued"


class TaskThreads:
    """Runs calls on threads; `done` of each is called on the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._process_id = os.getpid()
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._ended: deque[Call] = deque()
        self._lock = threading.Lock()
        self._woken = False
        self._closed = False
        self._threads = 0
        self._unended = 0
        self._started = 0
        self.abandoned = 0
        """Threads that still run the code of an abandoned attempt."""

    @property
    def count(self) -> int:
        """Threads that run a call or are free for one; abandoned ones are not."""
        return self._threads

    def submit(self, call: Call) -> None:
        """Run a call on a free thread, or on a new one; after `close` it is dropped.

        Where the machine gives no more threads, that is the call's error.
        """
        with self._lock:
            closed = self._closed
            grow = not closed and self._threads <= self._unended
            self._unended += 1
            self._threads += grow
            self._started += grow
            name = f"sayiir-task-{self._started}"
        if closed:
            self._drop(call)
            return
        if grow:
            try:
                threading.Thread(target=self._run, name=name, daemon=True).start()
            except RuntimeError as error:
                with self._lock:
                    self._threads -= 1
                call.error = error
                self._report(call, "ended")
                return
        self._calls.put(call)

    async def result_of(
        self, function: Callable[[], object], context: Context
    ) -> object:
        """Run a function on a thread and return its result, or raise its error.

        A caller that is cancelled leaves the thread behind.
        """
        ended: asyncio.Future[Call] = self._loop.create_future()

        def done(call: Call) -> None:
            if not ended.done():
                ended.set_result(call)

        self.submit(Call(function, context, done))
        call = await ended
        if call.error is not None:
            raise call.error
        return call.result

    def abandon(self, call: Call) -> bool:
        """Stop caring; True if a thread is left behind in the user's code.

        That thread ends when that code does. A call that no thread has taken yet is
        dropped. `done` is called in each case.
        """
        with self._lock:
            if call.abandoned or call.phase not in {"queued", "running"}:
                return False
            call.abandoned = True
            self._unended -= 1
            left_behind = call.phase == "running"
            self._threads -= left_behind
            self.abandoned += left_behind
            return left_behind

    def close(self) -> None:
        """End the threads that are free; the others end with their calls."""
        with self._lock:
            self._closed = True
            threads = self._threads
        for _ in range(threads):
            self._calls.put(None)

    def _run(self) -> None:
        stays = True
        while stays:
            call = self._calls.get()
            if call is None:
                return
            if not self._begin(call):
                stays = self._drop(call)
                continue
            try:
                call.result = call.context.run(call.function)
            except BaseException as error:  # noqa: BLE001 (the attempt's, told there)
                call.error = error
            if os.getpid() != self._process_id:
                _end_child()
            stays = self._report(call, "ended")
            del call  # a free thread keeps no user's values alive

    def _begin(self, call: Call) -> bool:
        with self._lock:
            if call.abandoned:
                return False
            call.phase = "running"
            return True

    def _drop(self, call: Call) -> bool:
        call.error = asyncio.CancelledError()
        return self._report(call, "dropped")

    def _report(self, call: Call, phase: Phase) -> bool:
        """Tell the loop; False if the thread that ran the call must end."""
        with self._lock:
            left_behind = call.abandoned and call.phase == "running"
            self.abandoned -= left_behind
            self._unended -= not call.abandoned
            call.phase = phase
            stays = not (left_behind or self._closed)
            self._ended.append(call)
            wake = not self._woken
            self._woken = True
        if wake:
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                return False  # the loop has closed: nobody wants the result
        return stays

    def _deliver(self) -> None:
        with self._lock:
            self._woken = False
            ended, self._ended = self._ended, deque()
        try:
            while ended:
                call = ended.popleft()
                call.done(call)
        finally:
            if ended:  # one `done` raised: the others must not pay for it
                with self._lock:
                    self._ended.extendleft(reversed(ended))
                self._loop.call_soon(self._deliver)


def _end_child() -> None:
    logger.error(
        "task.child_ended",
        reason="expected a process that a task forked to end itself (os._exit), but "
        "it returned from the task: it was ended there",
    )
    os._exit(1)
