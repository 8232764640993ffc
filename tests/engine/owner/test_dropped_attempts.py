"""An owner that is displaced says how many attempts ran in vain."""

from __future__ import annotations

import asyncio

from sayiir_es import Flow
from tests.captured_logs import capture_logs
from tests.engine.harness import EngineHarness
from tests.engine.test_membership import claim


async def test_what_ran_when_another_claim_came_is_told_and_runs_again() -> None:
    runs: list[str] = []
    began, may_end = asyncio.Event(), asyncio.Event()

    async def pay(value: int) -> int:
        runs.append("begun")
        began.set()
        await may_end.wait()
        return value

    harness = EngineHarness()
    async with harness.worker(Flow("orders").then(pay).build()):
        await harness.command("StartWorkflow", workflow="orders", input=7)
        await began.wait()
        with capture_logs() as lines:
            await claim(harness.log)
            # The next batch finds the claim; what it decided is decided again.
            await harness.command("StartWorkflow", "j", workflow="orders", input=8)
            await harness.until_kind("AttemptRestarted")
        may_end.set()
        assert await harness.output() == 7
        assert await harness.output("j") == 8
    (line,) = [one for one in lines if one["event"] == "partition.attempts_dropped"]
    assert (line["partition"], line["running"]) == (0, 1)
    assert len(runs) == 3
