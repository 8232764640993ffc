"""What a worker could run, but has no slot for, goes to workers with idle slots."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sayiir_es.engine.attempts.remote.placement import OVERDUE_MS
from tests.engine.attempts.remote.orders import held
from tests.engine.attempts.remote.speaker import Speaker, virtual_harness

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sayiir_es.engine.worker import WorkerEngine
    from tests.engine.harness import EngineHarness

OVERDUE_S = OVERDUE_MS / 1000
LOOKED_S = OVERDUE_S / 100


@asynccontextmanager
async def workers(
    may_end: asyncio.Event,
) -> AsyncGenerator[tuple[EngineHarness, WorkerEngine, Speaker]]:
    """A worker with one slot that owns all, and another one, which only speaks."""
    harness = virtual_harness()
    other = Speaker(harness.log, "other", tasks=("orders/pay",))
    async with harness.worker(held(may_end), slots=1) as worker, other.reading():
        try:
            yield harness, worker, other
        finally:
            may_end.set()


async def queue(harness: EngineHarness, worker: WorkerEngine, count: int) -> None:
    """Let one run, and so many queue behind it."""
    for number in range(count + 1):
        await harness.command("StartWorkflow", f"i{number}", workflow="orders", input=1)
    async with asyncio.timeout(OVERDUE_S / 2):
        while worker.owners[0].queued_attempts < count:  # noqa: ASYNC110 (no event)
            await asyncio.sleep(LOOKED_S)


async def test_what_waits_for_a_moment_goes_to_idle_slots() -> None:
    loop = asyncio.get_running_loop()
    async with workers(asyncio.Event()) as (harness, worker, other):
        other.offer(4, overflow=2)
        await queue(harness, worker, 3)
        queued_s = loop.time()
        await other.attempt(2)
        assert OVERDUE_S / 2 < loop.time() - queued_s <= 2 * OVERDUE_S
        await asyncio.sleep(10 * OVERDUE_S)
        taken = other.handed_out()
        assert [one.instance_id for one in taken] == ["i1", "i2"]
        for attempt in taken:
            await other.tell(attempt)
            assert await harness.output(attempt.instance_id) == "done"
        assert len(other.handed_out()) == 2  # it said that no more slots are idle
        other.offer(4, overflow=1)
        assert (await other.attempt(3)).instance_id == "i3"


async def test_what_waits_longer_goes_to_slots_as_soon_as_they_are_idle() -> None:
    async with workers(asyncio.Event()) as (harness, worker, other):
        await queue(harness, worker, 1)
        other.offer(4, overflow=0)
        await asyncio.sleep(10 * OVERDUE_S)
        assert other.handed_out() == []
        other.offer(4, overflow=4)
        async with asyncio.timeout(OVERDUE_S / 2):
            await other.attempt()


async def test_a_short_wait_ends_here() -> None:
    may_end = asyncio.Event()
    async with workers(may_end) as (harness, worker, other):
        await queue(harness, worker, 1)
        other.offer(4, overflow=4)
        await asyncio.sleep(LOOKED_S)  # in virtual time: it has been heard
        may_end.set()
        assert await harness.output("i1") == 1
        await asyncio.sleep(10 * OVERDUE_S)
        assert other.handed_out() == []
