"""An event loop in a thread of its own, for synchronous code that needs one."""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
import time
from concurrent.futures import wait
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakSet

from sayiir_es.client.daemon_executor import DaemonExecutor
from sayiir_es.core.model.errors import BackendError, WorkflowError
from sayiir_es.log.call_thread import CallThread
from sayiir_es.log.forked_child import leave_at_fork, sever_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

T = TypeVar("T")

EXIT_LIMIT_S = 3.0
"""How long the end of Python waits for what nobody has closed."""


class Interruption(Exception):  # noqa: N818 (no error: it carries one)
    """Carries a `KeyboardInterrupt` or `SystemExit` past the event loop, unharmed."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


async def carry_interruption(work: Coroutine[object, object, T]) -> T:
    """Await a coroutine; raise what would end the event loop as an `Interruption`."""
    try:
        return await work
    except (KeyboardInterrupt, SystemExit) as error:
        raise Interruption(error) from error


class LoopThread:
    """Runs coroutines for callers in other threads, until closed.

    The thread is a daemon: a program that forgets to close it still ends. It serves
    threads, and `atexit` functions, that go on when the main thread has ended.
    """

    def __init__(self, name: str, at_exit: Callable[[], object] | None = None) -> None:
        """Start it; `at_exit` closes it, and what runs on it, when Python ends."""
        self._at_exit = at_exit
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(DaemonExecutor())
        self._process_id = os.getpid()
        leave_at_fork(self)
        if at_exit is not None:
            _open.add(self)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def is_of_parent(self) -> bool:
        """Whether this process is a child of the one whose thread this is."""
        return self._process_id != os.getpid()

    def leave_to_parent(self) -> None:
        """Leave the loop in a forked child: its thread is not there."""
        sever_loop(self._loop)

    def is_current(self) -> bool:
        """Whether the caller runs on this thread."""
        return threading.current_thread() is self._thread

    def call(self, work: Coroutine[object, object, T]) -> T:
        """Run a coroutine to its end and return its result, or raise its error.

        Raises:
            BackendError: if called on the loop's own thread: it would wait for itself.
                Or in a child of the process that began it, or while Python ends.
        """
        if self.is_of_parent or sys.is_finalizing():
            work.close()
            raise BackendError(
                "expected this call in the process that began its event loop, but this "
                "is a child of it by a fork: begin anew in the child"
                if self.is_of_parent
                else "expected this call before Python ends, but it is ending"
            )
        if self.is_current():
            work.close()
            raise BackendError(
                "expected this call outside of an async task, but the task's own event "
                "loop would wait for itself; use `sayiir_es.aio` or a sync task"
            )
        future = asyncio.run_coroutine_threadsafe(carry_interruption(work), self._loop)
        try:
            result = future.result()
        except Interruption as interrupted:
            raise interrupted.error from None
        except KeyboardInterrupt:
            future.cancel()
            raise
        if _exit_begun.is_set():
            self.end_at_exit()  # an `atexit` function called behind ours
        return result

    def end_at_exit(self) -> None:
        """Close it for the end of Python, within a limit."""
        if self._at_exit is not None and self in _open and not self.is_of_parent:
            _open.discard(self)
            thread = CallThread("sayiir-exit")
            ended = thread.submit(self._at_exit)
            thread.close()
            with suppress(TimeoutError, WorkflowError):
                ended.result(EXIT_LIMIT_S)

    def close_behind(self, work: Coroutine[object, object, None]) -> None:
        """Begin a last coroutine, and end the loop behind it; does not wait.

        The end of Python waits for it, within a limit.
        """
        _open.discard(self)
        _closing.add(self)

        def begin() -> None:
            task = self._loop.create_task(work)
            task.add_done_callback(lambda _: self._loop.stop())

        self._loop.call_soon_threadsafe(begin)

    def join(self, limit_s: float) -> None:
        """Wait until the thread has ended, for so many seconds at most."""
        if not self.is_of_parent and not self.is_current():
            self._thread.join(limit_s)

    def close(self) -> None:
        """End the loop; what still runs on it is cancelled."""
        _open.discard(self)
        _closing.add(self)
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        if not self.is_current():
            self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            _close(self._loop)
            _closing.discard(self)


_open: WeakSet[LoopThread] = WeakSet()
_closing: WeakSet[LoopThread] = WeakSet()
"""Those that somebody has told to end; a thread that runs keeps its own."""
_last_calls: set[Future[None]] = set()
_exit_begun = threading.Event()


def finish_before_exit(call: Future[None]) -> None:
    """Let the end of Python wait for a call on a daemon thread, within a limit."""
    _last_calls.add(call)
    call.add_done_callback(_last_calls.discard)


def _end_all() -> None:
    """Let no thread be in a library's code when Python ends: it would abort there."""
    _exit_begun.set()
    threads = tuple(_open)
    for thread in threads:
        thread.end_at_exit()
    # Another thread may have begun to close one: then there was nothing to do above.
    end_s = time.monotonic() + EXIT_LIMIT_S
    for thread in {*threads, *_closing}:
        thread.join(max(0.0, end_s - time.monotonic()))
    wait(tuple(_last_calls), max(0.0, end_s - time.monotonic()))


atexit.register(_end_all)


def is_loop_running() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def run_on_own_loop(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end on a new event loop in the caller's thread.

    The caller's own event loop, if it has set one, stays set; it must not be running.
    """
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(carry_interruption(work))
    except Interruption as interrupted:
        raise interrupted.error from None
    finally:
        _close(loop)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop that has stopped; what still runs on it is cancelled."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
