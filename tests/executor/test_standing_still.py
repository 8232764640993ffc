"""An executor whose process stood still says so: others may run what it has."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from sayiir_es import Flow, task
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.executor.attempt_taker import AttemptTaker
from sayiir_es.executor.taker_settings import TakerSettings
from sayiir_es.executor.task_code import TaskCode
from sayiir_es.wire.payload_codec import JSON_PAYLOADS
from tests.captured_logs import capture_logs
from tests.engine.harness import EngineHarness

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LEASE_MS = 400
LIMIT_S = 20.0


def stalled(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [line for line in lines if line["event"] == "executor.stalled"]


async def test_it_is_told_how_long_and_how_much_it_has() -> None:
    began, may_end = asyncio.Event(), asyncio.Event()

    @task(execute="remote")
    async def pay(value: int) -> int:
        began.set()
        await may_end.wait()
        return value

    workflow = Flow("orders").then(pay).build()
    harness = EngineHarness(lease_ms=LEASE_MS)
    local = LocalExecutor(2, worker_id="e")
    settings = TakerSettings(executor_id="e/1", slots=2, prefetch=0, drain_s=5.0)
    taker = AttemptTaker(
        harness.log, local, TaskCode([workflow], None), JSON_PAYLOADS, settings
    )
    async with harness.worker(workflow):
        await taker.start()
        await harness.command("StartWorkflow", workflow="orders", input=7)
        await began.wait()
        with capture_logs() as lines:
            await asyncio.sleep(0.3)  # it is looked after, and says nothing
            assert lines == []
            time.sleep(LEASE_MS / 1000 + 0.1)  # noqa: ASYNC251 (it stands still)
            async with asyncio.timeout(LIMIT_S):
                while not stalled(lines):  # noqa: ASYNC110 (a log line tells nobody)
                    await asyncio.sleep(0.01)
        (line,) = stalled(lines)
        assert (line["worker"], line["running"]) == ("e/1", 1)
        assert line["duration_ms"] > LEASE_MS
        may_end.set()
        assert await harness.output() == 7
        await taker.drain()
        await taker.close()
    await local.close()
