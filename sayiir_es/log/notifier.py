"""Wakes waiters on any event loop of this process when something has changed.

Theory of operation. A reader makes a waiter first and looks for changes after that; a
writer makes its change first and wakes after that. So no change is missed. A waiter is
used once. A waiter on the caller's own loop is resolved at once, without the loop's
self-pipe, which a loop of virtual time does not have.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

Waiter = asyncio.Future[None]


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread; None if there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def call_on(
    loop: asyncio.AbstractEventLoop, work: Callable[..., None], *arguments: object
) -> None:
    """Call `work` on another loop's thread; does nothing when that loop is closed."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(work, *arguments)


class Notifier:
    """Waiters by the subject that they wait for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # In the order of their making: a simulation must wake them in the same order.
        self._waiters: dict[Waiter, Hashable] = {}

    def is_awaited(self, subject: Hashable) -> bool:
        """Whether anybody waits for the subject."""
        with self._lock:
            return subject in self._waiters.values()

    def waiter(self, subject: Hashable) -> Waiter:
        """Return a future that the next `wake` for the subject resolves."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiters[waiter] = subject
        return waiter

    def forget(self, waiter: Waiter) -> None:
        """Drop a waiter; one that was woken is dropped already."""
        with self._lock:
            self._waiters.pop(waiter, None)

    def wake(self, subjects: Iterable[Hashable] | None = None) -> int:
        """Resolve the waiters of these subjects, or all; return how many they were."""
        if not self._waiters:
            return 0
        wanted_subjects = None if subjects is None else set(subjects)
        with self._lock:
            waiters = [
                waiter
                for waiter, subject in self._waiters.items()
                if wanted_subjects is None or subject in wanted_subjects
            ]
            for waiter in waiters:
                del self._waiters[waiter]
        this_loop = running_loop()
        for waiter in waiters:
            loop = waiter.get_loop()
            if loop is this_loop:
                _resolve(waiter)
            else:
                call_on(loop, _resolve, waiter)
        return len(waiters)


def _resolve(waiter: Waiter) -> None:
    if not waiter.done():
        waiter.set_result(None)
