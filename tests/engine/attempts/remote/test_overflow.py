"""What a worker could run, but has no slot for, goes to workers with idle slots."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sayiir_es import Flow, task
from sayiir_es.engine.attempts.remote.placement import OVERDUE_MS
from tests.engine.attempts.remote.speaker import Speaker, virtual_harness

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.engine.harness import EngineHarness

OVERDUE_S = OVERDUE_MS / 1000


@asynccontextmanager
async def full_worker(count: int) -> AsyncGenerator[tuple[EngineHarness, Speaker]]:
    """A worker whose one slot is taken, so many that queue there, and another one."""
    free = asyncio.Event()

    @task
    async def pay(value: int) -> int:
        await free.wait()
        return value

    harness = virtual_harness()
    orders = Flow("orders").then(pay).build()
    other = Speaker(harness.log, "other", tasks=("orders/pay",))
    async with harness.worker(orders, slots=1), other.reading():
        for name in ("here", *(f"queued{number}" for number in range(count))):
            await harness.command("StartWorkflow", name, workflow="orders", input=1)
            await harness.until_kind("PositionUpdated", name)
        try:
            yield harness, other
        finally:
            free.set()


async def test_idle_slots_of_another_worker_are_used_after_a_moment() -> None:
    async with full_worker(3) as (harness, other):
        other.offer(4, overflow=2)
        async with asyncio.timeout(2 * OVERDUE_S):
            await other.attempt(2)
        await asyncio.sleep(10 * OVERDUE_S)
        taken = other.handed_out()
        assert [one.instance_id for one in taken] == ["queued0", "queued1"]
        for attempt in taken:
            await other.tell(attempt)
            assert await harness.output(attempt.instance_id) == "done"
        assert len(other.handed_out()) == 2  # it said that no more slots are idle
        other.offer(4, overflow=1)
        assert (await other.attempt(3)).instance_id == "queued2"


async def test_a_worker_without_idle_slots_gets_nothing() -> None:
    async with full_worker(1) as (_, other):
        other.offer(4, overflow=0)
        await asyncio.sleep(10 * OVERDUE_S)
        assert other.handed_out() == []
        other.offer(4, overflow=4)
        await other.attempt()
        other.offer(4, overflow=4, stopping=True)


async def test_a_short_wait_ends_here() -> None:
    free = asyncio.Event()

    @task
    async def pay(value: int) -> int:
        await free.wait()
        return value

    harness = virtual_harness()
    orders = Flow("orders").then(pay).build()
    other = Speaker(harness.log, "other", tasks=("orders/pay",))
    async with harness.worker(orders, slots=1), other.reading():
        other.offer(4, overflow=4)
        for name in ("here", "next"):
            await harness.command("StartWorkflow", name, workflow="orders", input=1)
        await asyncio.sleep(OVERDUE_S / 2)
        free.set()
        assert await harness.output("next") == 1
        await asyncio.sleep(10 * OVERDUE_S)
        assert other.handed_out() == []
