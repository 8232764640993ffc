"""Work that several ask for at a time."""

from __future__ import annotations

import asyncio

import pytest

from sayiir_es.engine.requests.shared_searches import SharedSearches


class Counted:
    """Work that ends when it is told to."""

    def __init__(self) -> None:
        self.begun = self.cancelled = 0
        self.go_on = asyncio.Event()

    async def work(self) -> str:
        """Wait, and return."""
        self.begun += 1
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "done"


async def test_the_same_is_done_once_at_a_time() -> None:
    shared, counted = SharedSearches[str](), Counted()
    asked = [asyncio.create_task(shared.get("a", counted.work)) for _ in range(3)]
    other = asyncio.create_task(shared.get("b", counted.work))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert counted.begun == 2
    counted.go_on.set()
    assert await asyncio.gather(*asked, other) == ["done"] * 4
    assert len(shared) == 0
    assert await shared.get("a", counted.work) == "done"
    assert counted.begun == 3


async def test_it_ends_with_the_last_who_waits() -> None:
    shared, counted = SharedSearches[str](), Counted()
    first, second = (
        asyncio.create_task(shared.get("a", counted.work)) for _ in range(2)
    )
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait((first,))
    assert (counted.cancelled, len(shared)) == (0, 1)
    second.cancel()
    await asyncio.wait((second,))
    await asyncio.sleep(0)
    assert (counted.cancelled, len(shared)) == (1, 0)
    counted.go_on.set()
    assert await shared.get("a", counted.work) == "done"


async def test_an_error_is_told_to_all() -> None:
    async def fail() -> str:
        await asyncio.sleep(0)
        raise ValueError("no")

    shared = SharedSearches[str]()
    asked = [asyncio.create_task(shared.get("a", fail)) for _ in range(2)]
    for one in asked:
        with pytest.raises(ValueError, match="no"):
            await one
    assert len(shared) == 0
