"""What an owner notices by itself: late time-outs, forged records."""

from __future__ import annotations

import asyncio

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.model.events import SignalAwaited
from sayiir_es.engine.clock import SystemClock
from sayiir_es.log.port import NewRecord
from sayiir_es.wire.events import event_headers
from tests.engine.harness import EngineHarness


async def same(value: str) -> str:
    return value


CHAIN = Flow("chain").then(same).build()


async def test_a_signal_sent_while_nobody_looked_beats_a_time_out_that_passed() -> None:
    harness = EngineHarness()
    flow = Flow("late").wait_for_signal("ok", timeout=0.3).build()
    async with harness.worker(flow):
        await harness.command("StartWorkflow", workflow="late", input="x")
        events = await harness.until_kind("SignalAwaited")
    waits = [e.body for e in events if isinstance(e.body, SignalAwaited)]
    due_at = waits[0].until_at
    assert due_at is not None
    await harness.command("SendSignal", signal="ok", payload="in time")
    while SystemClock().now_ms() <= due_at:  # noqa: ASYNC110 (until a real time has passed)
        await asyncio.sleep(0.01)
    async with harness.worker(flow):
        assert await harness.output() == "in time"


async def test_an_idle_owner_notices_a_record_that_nobody_may_have_written() -> None:
    harness = EngineHarness()
    async with harness.worker(CHAIN) as engine:
        await harness.command("StartWorkflow", workflow="chain", input="x")
        await harness.output()
        claim = (await harness.events())[0].claim
        appender = await harness.log.appender(0)
        forged = NewRecord(
            key=b"i", value=b"\xc3\x01" + b"\0" * 9, headers=event_headers("Odd", claim)
        )
        offset = await appender.append([forged])
        async with asyncio.timeout(5):
            while 0 not in engine.stopped:  # noqa: ASYNC110 (nothing tells)
                await asyncio.sleep(0.01)
        assert f"'Odd' at 0@{offset}" in engine.stopped[0]
