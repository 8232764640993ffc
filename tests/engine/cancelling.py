"""Cancels what runs at a chosen one of its awaits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

T = TypeVar("T")


class CancelledAt:
    """Awaits a coroutine; its task is cancelled at these suspensions, from 1 on."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], *numbers: int) -> None:
        self._coroutine = coroutine
        self._numbers = numbers
        self.cancels = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        task = asyncio.current_task()
        assert task is not None
        step, number = self._coroutine.send, 0
        argument: Any = None
        while True:
            try:
                awaited = step(argument)
            except StopIteration as end:
                return end.value
            number += 1
            if number in self._numbers:
                self.cancels += 1
                task.cancel()
            try:
                argument = yield awaited
                step = self._coroutine.send
            except BaseException as error:  # noqa: BLE001 (the coroutine handles it)
                argument, step = error, self._coroutine.throw


async def run_cancelled_at(coroutine: Coroutine[Any, Any, Any], *numbers: int) -> int:
    """Run it in a task of its own; how many of the cancels there was an await for."""
    cancelled_at = CancelledAt(coroutine, *numbers)

    async def run() -> None:
        await cancelled_at

    task = asyncio.create_task(run())
    await asyncio.wait((task,))
    if task.cancelled() or cancelled_at.cancels:
        return cancelled_at.cancels
    task.result()
    return 0
