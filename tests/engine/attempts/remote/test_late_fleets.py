"""Executors that come when attempts queue already take their part of them."""

from __future__ import annotations

import asyncio

from sayiir_es.engine.attempts import elsewhere
from tests.engine.attempts.remote.orders import held
from tests.engine.attempts.remote.speaker import Speaker
from tests.engine.harness import EngineHarness

MORE_THAN_A_PORTION = elsewhere.PORTION + 200


async def test_what_queued_before_the_first_offer_goes_elsewhere() -> None:
    free, harness = asyncio.Event(), EngineHarness()
    async with harness.worker(held(free), slots=1):
        for name in ("here", "queued"):
            await harness.command("StartWorkflow", name, workflow="orders", input=1)
            await harness.until_kind("PositionUpdated", name)
        other = Speaker(harness.log, "other", tasks=("bills/pay",))
        late = Speaker(harness.log, "late", tasks=("orders/pay",))
        async with other.reading(), late.reading():
            other.offer(5)
            late.offer(5)
            attempt = await late.attempt()
            assert attempt.instance_id == "queued"
            await late.tell(attempt)
            assert await harness.output("queued") == "done"
            assert other.handed_out() == []
        free.set()
        assert await harness.output("here") == 1


async def test_a_long_queue_is_offered_to_its_end() -> None:
    free, harness = asyncio.Event(), EngineHarness()
    async with harness.worker(held(free), slots=1):
        for number in range(MORE_THAN_A_PORTION):
            await harness.command(
                "StartWorkflow", f"i{number}", workflow="orders", input=1
            )
        await harness.until_kind("PositionUpdated", f"i{MORE_THAN_A_PORTION - 1}")
        late = Speaker(harness.log, "late", tasks=("orders/pay",))
        async with late.reading():
            late.offer(MORE_THAN_A_PORTION, slots=MORE_THAN_A_PORTION)
            await late.attempt(MORE_THAN_A_PORTION - 1)
            handed_out = {one.instance_id for one in late.handed_out()}
        assert len(handed_out) == MORE_THAN_A_PORTION - 1
        free.set()
