"""The load of a program that uses the public client: it submits and waits."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

END_LIMIT_S = 60.0


class ClientLoad:
    """Keeps calls in flight; each gets the number of its turn."""

    def __init__(self, call: Callable[[int], Awaitable[None]]) -> None:
        self.latencies: list[float] = []
        """Seconds that each call took, so far."""
        self._call = call
        self._started = 0

    @asynccontextmanager
    async def in_flight(self, count: int) -> AsyncGenerator[None]:
        """Keep so many in flight; after the block all have ended."""
        stopping = asyncio.Event()

        async def lane() -> None:
            while not stopping.is_set():
                self._started += 1
                began = time.perf_counter()
                await self._call(self._started)
                self.latencies.append(time.perf_counter() - began)

        lanes = [asyncio.create_task(lane()) for _ in range(count)]
        try:
            yield
            stopping.set()
            async with asyncio.timeout(END_LIMIT_S):
                await asyncio.gather(*lanes)
        finally:
            for task in lanes:
                task.cancel()
