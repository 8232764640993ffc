"""The alarm of an owner that sleeps."""

from __future__ import annotations

import asyncio

from sayiir_es.engine.owner.alarm import EARLY_S, Alarm


class Rings:
    """An alarm, and how often it rang."""

    def __init__(self) -> None:
        self.count = 0
        self.rung = asyncio.Event()
        self.alarm = Alarm(self._ring)

    def _ring(self) -> None:
        self.count += 1
        self.rung.set()

    async def wait(self) -> float:
        """Wait until it rings; when that was, in seconds of the event loop."""
        async with asyncio.timeout(10):
            await self.rung.wait()
        self.rung.clear()
        return asyncio.get_running_loop().time()


async def test_it_rings_once_and_not_too_early() -> None:
    rings, began_s = Rings(), asyncio.get_running_loop().time()
    rings.alarm.set(0.02)
    assert await rings.wait() - began_s >= 0.02 - EARLY_S
    await asyncio.sleep(0.03)
    assert rings.count == 1


async def test_the_time_asked_for_last_counts_later_or_earlier() -> None:
    rings, began_s = Rings(), asyncio.get_running_loop().time()
    rings.alarm.set(0.01)
    rings.alarm.set(0.05)
    assert await rings.wait() - began_s >= 0.05 - EARLY_S
    rings.alarm.set(3_600)
    rings.alarm.set(0.01)
    await rings.wait()
    assert rings.count == 2


async def test_one_that_was_stopped_does_not_ring_until_it_is_set_again() -> None:
    rings, began_s = Rings(), asyncio.get_running_loop().time()
    rings.alarm.set(0.01)
    rings.alarm.stop()
    await asyncio.sleep(0.03)
    assert rings.count == 0
    rings.alarm.set(0.05)
    assert await rings.wait() - began_s >= 0.08 - EARLY_S


async def test_what_is_due_rings_at_once() -> None:
    rings = Rings()
    rings.alarm.set(0.0)
    await rings.wait()
    assert rings.count == 1


async def test_a_closed_one_leaves_nothing_on_the_loop() -> None:
    rings = Rings()
    rings.alarm.set(0.01)
    rings.alarm.close()
    rings.alarm.close()
    await asyncio.sleep(0.03)
    assert rings.count == 0
