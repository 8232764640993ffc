"""Wakes waiters on any event loop of this process when something has changed.

Theory of operation. A reader makes a waiter first and looks for changes after that; a
writer makes its change first and wakes after that. So no change is missed. A waiter is
used once. A waiter on the caller's own loop is resolved at once, without the loop's
self-pipe, which a loop of virtual time does not have.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
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
        self._numbers = itertools.count()
        self._subjects: dict[Waiter, Hashable] = {}
        self._waiters: dict[Hashable, dict[Waiter, int]] = {}
        """By subject, each with its number, in the order of their making."""

    def is_awaited(self, subject: Hashable) -> bool:
        """Whether anybody waits for the subject."""
        return subject in self._waiters

    def waiter(self, subject: Hashable) -> Waiter:
        """Return a future that the next `wake` for the subject resolves."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        with self._lock:
            self._subjects[waiter] = subject
            self._waiters.setdefault(subject, {})[waiter] = next(self._numbers)
        return waiter

    def forget(self, waiter: Waiter) -> None:
        """Drop a waiter; one that was woken is dropped already."""
        with self._lock:
            if waiter in self._subjects:
                subject = self._subjects.pop(waiter)
                waiters = self._waiters[subject]
                del waiters[waiter]
                if not waiters:
                    del self._waiters[subject]

    def wake(self, subjects: Iterable[Hashable] | None = None) -> int:
        """Resolve the waiters of these subjects, or all; return how many they were."""
        if not self._waiters:
            return 0
        with self._lock:
            waiters: dict[Waiter, int] = {}
            for subject in tuple(self._waiters) if subjects is None else subjects:
                found = self._waiters.pop(subject, None)
                if found is None:
                    continue
                if waiters:
                    waiters.update(found)
                else:
                    waiters = found
            for waiter in waiters:
                del self._subjects[waiter]
        if not waiters:
            return 0
        this_loop = running_loop()
        # In the order of their making: a simulation must wake them in the same order.
        for waiter in sorted(waiters, key=waiters.__getitem__):
            loop = waiter.get_loop()
            if loop is this_loop:
                _resolve(waiter)
            else:
                call_on(loop, _resolve, waiter)
        return len(waiters)


def _resolve(waiter: Waiter) -> None:
    if not waiter.done():
        waiter.set_result(None)
