"""Work that several ask for at a time: done once, and no longer than anybody waits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

T = TypeVar("T")


@dataclass(slots=True)
class _Running(Generic[T]):
    task: asyncio.Task[T]
    waiting: int = 0


class SharedSearches(Generic[T]):
    """What is at work, by what was asked; all on one event loop."""

    def __init__(self) -> None:
        self._running: dict[Hashable, _Running[T]] = {}

    def __len__(self) -> int:
        """How much is at work."""
        return len(self._running)

    async def get(
        self, key: Hashable, work: Callable[[], Coroutine[object, object, T]]
    ) -> T:
        """The result of the work; with that of others who asked for the same meanwhile.

        Where all who wait are cancelled the work is, too.
        """
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = _Running(asyncio.ensure_future(work()))
            running.task.add_done_callback(lambda _: self._forget(key, running))
        running.waiting += 1
        try:
            return await asyncio.shield(running.task)
        finally:
            running.waiting -= 1
            if not running.waiting and not running.task.done():
                # Whoever asks from now on begins it anew.
                self._forget(key, running)
                running.task.cancel()

    def _forget(self, key: Hashable, running: _Running[T]) -> None:
        if self._running.get(key) is running:
            del self._running[key]
        if running.task.done() and not running.task.cancelled():
            running.task.exception()  # whoever waits is told
