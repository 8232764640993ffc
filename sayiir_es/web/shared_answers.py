"""Answers that cost much, shared by all tabs that ask for them at about the same time.

A count of a million instances takes an owner seconds, and every open page wants it
after every event. So an answer is kept for as long as it took to get, several times
over: counting takes a bounded part of an owner's time, however many look. One for which
nobody waits any more is given up.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Hashable

    from fastapi import Request

T = TypeVar("T")

KEPT_MAX = 200
KEPT_LEAST_S = 0.5
KEPT_PER_SECOND = 5.0
"""An answer that took a second is kept for so many."""

LOOK_EVERY_S = 0.25
"""How often it is looked whether whoever asks is still there."""


async def while_asked(request: Request, work: Coroutine[object, object, T]) -> T | None:
    """The result of work; None where the browser has gone, and the work is given up."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait((task,), timeout=LOOK_EVERY_S))[0]:
            if await request.is_disconnected():
                return None
        return task.result()
    finally:
        task.cancel()


@dataclass(slots=True)
class _Kept:
    task: asyncio.Task[object]
    until_s: float = float("inf")
    waiting: int = 0


class SharedAnswers:
    """The answers of one site, by what was asked."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()

    async def get(self, key: Hashable, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer, asked for now or by somebody a moment ago."""
        kept = self._kept.get(key)
        if kept is None or kept.until_s < time.monotonic():
            kept = self._kept[key] = _Kept(asyncio.ensure_future(self._ask(key, ask)))
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        kept.waiting += 1
        try:
            # Whoever began it may go; others wait for it.
            return cast("T", await asyncio.shield(kept.task))
        finally:
            kept.waiting -= 1
            if not kept.waiting and not kept.task.done():
                if self._kept.get(key) is kept:
                    del self._kept[key]
                kept.task.cancel()

    async def _ask(self, key: Hashable, ask: Callable[[], Awaitable[object]]) -> object:
        began_s = time.monotonic()
        try:
            answer = await ask()
        except BaseException:
            kept = self._kept.get(key)
            if kept is not None and kept.task is asyncio.current_task():
                del self._kept[key]
            raise
        now_s = time.monotonic()
        kept = self._kept.get(key)
        if kept is not None:
            took_s = now_s - began_s
            kept.until_s = now_s + max(KEPT_LEAST_S, took_s * KEPT_PER_SECOND)
        return answer
