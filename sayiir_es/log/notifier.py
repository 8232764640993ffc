"""Tells whoever waits, on any event loop of this process, that something has changed.

Theory of operation. Who waits makes a waiter first and looks again after that; who
changes something changes it first and wakes after that. So no change is missed, and a
waiter is used once. A waiter on the caller's own loop is resolved at once, without the
loop's self-pipe, which a loop of virtual time does not have.
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
    """Return the event loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def call_on(
    loop: asyncio.AbstractEventLoop, work: Callable[..., None], *arguments: object
) -> None:
    """Call on another loop's thread; nothing happens when that loop is closed."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(work, *arguments)


class Notifier:
    """Waiters by what they wait for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # In the order of waiting: a simulation must wake them in the same order again.
        self._waiting: dict[Waiter, Hashable] = {}

    @property
    def awaited(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    def waiter(self, subject: Hashable) -> Waiter:
        """Return a future that the next `wake` for the subject resolves."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        with self._lock:
            self._waiting[waiter] = subject
        return waiter

    def forget(self, waiter: Waiter) -> None:
        """Give a waiter back; one that was woken is gone already."""
        with self._lock:
            self._waiting.pop(waiter, None)

    def wake(self, subjects: Iterable[Hashable] | None = None) -> None:
        """Resolve the waiters of these subjects, or all of them."""
        if not self._waiting:
            return
        wanted = None if subjects is None else set(subjects)
        with self._lock:
            woken = [
                waiter
                for waiter, subject in self._waiting.items()
                if wanted is None or subject in wanted
            ]
            for waiter in woken:
                del self._waiting[waiter]
        here = running_loop()
        for waiter in woken:
            loop = waiter.get_loop()
            if loop is here:
                _resolve(waiter)
            else:
                call_on(loop, _resolve, waiter)


def _resolve(waiter: Waiter) -> None:
    if not waiter.done():
        waiter.set_result(None)
