"""A thread of our own that makes one call after the other, to the end of the process.

Python's pools refuse calls once the main thread has ended, though other threads and
`atexit` functions still run. This thread is a daemon, and starts at its first call.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

logger = get_logger(__name__)

T = TypeVar("T")


class CallThread:
    """Calls in the order in which they were submitted."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Queue a call; its result or error is the future's."""
        future: Future[T] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    result = call()
                except BaseException as error:  # noqa: BLE001 (its caller's)
                    future.set_exception(error)
                else:
                    future.set_result(result)

        self.post(run)
        return future

    def post(self, call: Callable[[], None]) -> None:
        """Queue a call of whose end nobody is told; what it raises is logged."""
        if self._thread is None:
            self._start()
        self._calls.put(call)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_serve, args=(self._calls,), name=self._name, daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """End the thread behind what is queued; does not wait for it."""
        self._calls.put(None)


def _serve(calls: SimpleQueue[Callable[[], None] | None]) -> None:
    while (run := calls.get()) is not None:
        try:
            run()
        except Exception as error:
            logger.exception("thread.call_failed", exc_info=error)
        del run  # what it holds may go
