"""An event loop of virtual time, whose order a seed decides.

Theory of operation. Time is a number that the loop moves itself: if nothing is ready it
jumps to the earliest timer. If several processes are ready, a seeded generator picks
the next; within one, callbacks run in their order, as asyncio promises. A callback
belongs to the process in whose context it was made. Callbacks of a killed process are
dropped, so that no `finally` and no flush of it runs, as after `kill -9`; those of a
paused one wait until it wakes. There is no selector: real I/O raises an error. If
nothing is ready and nothing scheduled, that is a deadlock, and an error.
"""

# pyright: reportPrivateUsage=false
# It overrides the one method of asyncio's loop that runs callbacks.

from __future__ import annotations

import asyncio
import contextlib
import inspect
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, TypeVar, cast

from sayiir_es.testing.virtual_time import Handle, VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from random import Random

T = TypeVar("T")


class Process:
    """A process that can be killed and paused; `waiting` has its callbacks then."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.paused = False
        self.waiting: list[Handle] = []

    def __repr__(self) -> str:
        return f"Process({self.name!r})"


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


class SimLoop(VirtualLoop):
    """An event loop without I/O; see the module."""

    def __init__(self, chance: Random) -> None:
        super().__init__()
        self._chance = chance
        self._tasks_made: list[asyncio.Task[object]] = []
        self.steps = 0
        """How many callbacks have run: a crash sweep kills at each."""
        self.on_step: Callable[[int, Process], None] | None = None
        """Called before each step, with its number and its process."""
        self.failures: list[str] = []
        """Exceptions that nobody retrieved."""
        self.set_exception_handler(self._failed)

    def spawn(
        self, work: Coroutine[object, object, T], process: Process | None
    ) -> asyncio.Task[T]:
        """Run a coroutine as part of a process."""
        context = Context()
        context.run(PROCESS.set, process)
        return self.create_task(work, context=context)

    def kill(self, process: Process) -> None:
        """Run nothing of it any more, not even what would clean up."""
        process.is_dead = True
        process.waiting.clear()

    def pause(self, process: Process) -> None:
        """Run nothing of it until `wake`; its timers become due meanwhile."""
        process.paused = True

    def wake(self, process: Process) -> None:
        """Let it go on where it was."""
        process.paused = False
        self._ready.extend(process.waiting)
        process.waiting.clear()

    def discard_tasks(self) -> None:
        """Close the tasks of killed processes, and suppress what they raise."""
        # What cleans up begins tasks at times. They are closed, too, and begin nothing.
        asyncio._set_running_loop(self)
        try:
            while self._tasks_made:
                tasks, self._tasks_made = self._tasks_made, []
                for task in tasks:
                    self._discard(task)
        finally:
            asyncio._set_running_loop(None)

    @staticmethod
    def _discard(task: asyncio.Task[object]) -> None:
        if task.done():
            return
        setattr(task, "_log_destroy_pending", False)  # noqa: B010 (no type knows)
        coroutine = task.get_coro()
        assert inspect.iscoroutine(coroutine)
        with contextlib.suppress(BaseException):
            coroutine.close()

    # --- what BaseEventLoop asks for --------------------------------------------------

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[object, object, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        """A task of the process that makes it, whatever context it has.

        A context that is empty stays so: it is that of the log, which goes on when a
        process is killed.
        """
        if context is not None and len(context) and PROCESS not in context:
            context.run(PROCESS.set, PROCESS.get())
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks_made.append(cast("asyncio.Task[object]", task))
        return task

    def _run_one(self) -> None:
        handle = self._pick()
        if handle._cancelled:
            return
        process = handle._context.get(PROCESS)
        if process is not None and not process.is_dead:
            if process.paused:
                process.waiting.append(handle)
                return
            self.steps += 1
            if self.on_step is not None:
                self.on_step(self.steps, process)
        if process is None or not process.is_dead:
            handle._run()

    def _pick(self) -> Handle:
        """The first callback of a process that the seed decides."""
        ready = self._ready
        if len(ready) == 1:
            return ready.popleft()
        process = ready[self._chance.randrange(len(ready))]._context.get(PROCESS)
        for index, handle in enumerate(ready):
            if handle._context.get(PROCESS) is process:
                del ready[index]
                return handle
        raise AssertionError(process)  # it is one of them

    def _failed(
        self, loop: asyncio.AbstractEventLoop, context: dict[str, object]
    ) -> None:
        del loop
        error = context.get("exception")
        self.failures.append(f"{context.get('message')}: {error!r}")
