"""An event loop in a thread of its own, for synchronous code that needs one."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, TypeVar

from sayiir_es.core.model.errors import BackendError
from sayiir_es.telemetry import configure_logging_if_nobody_did

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


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

    The thread is a daemon: a program that forgets to close it still ends.
    """

    def __init__(self, name: str) -> None:
        configure_logging_if_nobody_did()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def is_current(self) -> bool:
        """Whether the caller runs on this thread."""
        return threading.current_thread() is self._thread

    def call(self, work: Coroutine[object, object, T]) -> T:
        """Run a coroutine to its end and return its result, or raise its error.

        Raises:
            BackendError: if called on the loop's own thread: it would wait for itself.
        """
        if self.is_current():
            work.close()
            raise BackendError(
                "expected this call outside of an async task, but the task's own event "
                "loop would wait for itself; use `sayiir_es.aio` or a sync task"
            )
        future = asyncio.run_coroutine_threadsafe(carry_interruption(work), self._loop)
        try:
            return future.result()
        except Interruption as interrupted:
            raise interrupted.error from None
        except KeyboardInterrupt:
            future.cancel()
            raise

    def close(self) -> None:
        """End the loop; what still runs on it is cancelled."""
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
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(
                asyncio.gather(*tasks, return_exceptions=True)
            )
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()
