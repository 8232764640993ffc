"""Answers that cost much, shared by all tabs that ask for them at about the same time.

A count of a million instances takes an owner seconds, and every open page wants it
after every event. So an answer is kept for as long as it took to get, several times
over: counting takes a bounded part of an owner's time, however many look.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

T = TypeVar("T")

KEPT_MAX = 200
KEPT_LEAST_S = 0.5
KEPT_PER_SECOND = 5.0
"""An answer that took a second is kept for so many."""


@dataclass(slots=True)
class _Kept:
    task: asyncio.Task[object]
    until_s: float = float("inf")


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
        # Whoever began it may go; others wait for it.
        return cast("T", await asyncio.shield(kept.task))

    async def _ask(self, key: Hashable, ask: Callable[[], Awaitable[object]]) -> object:
        began_s = time.monotonic()
        try:
            answer = await ask()
        except BaseException:
            self._kept.pop(key, None)
            raise
        now_s = time.monotonic()
        kept = self._kept.get(key)
        if kept is not None:
            took_s = now_s - began_s
            kept.until_s = now_s + max(KEPT_LEAST_S, took_s * KEPT_PER_SECOND)
        return answer
