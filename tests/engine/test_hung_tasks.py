"""A task that hangs keeps no instance from being cancelled."""

from __future__ import annotations

import asyncio
import threading

import pytest

from sayiir_es import Flow, task
from tests.engine.harness import EngineHarness

LIMIT_S = 20.0


@pytest.mark.parametrize("kind", ["sync", "deaf"])
async def test_a_cancel_ends_a_run_whose_task_hangs(kind: str) -> None:
    harness = EngineHarness()
    begun, hold = threading.Event(), threading.Event()

    @task
    def hang(_value: int) -> bool:
        begun.set()
        return hold.wait(LIMIT_S)

    @task
    async def deaf(_value: int) -> None:
        begun.set()
        while not hold.is_set():
            try:
                await asyncio.sleep(LIMIT_S)
            except asyncio.CancelledError:
                continue

    flow = Flow("w").then(hang if kind == "sync" else deaf).build()
    try:
        async with harness.worker(flow, slots=1):
            await harness.command("StartWorkflow", workflow="w", input=1)
            assert await asyncio.to_thread(begun.wait, LIMIT_S)
            await harness.command("CancelWorkflow")
            await harness.until_kind("WorkflowCancelled")
            kinds = [event.kind for event in await harness.events()]
            assert kinds[-3:] == [
                *("CancelRequested", "AttemptWithdrawn", "WorkflowCancelled")
            ]
            hold.set()
    finally:
        hold.set()


async def test_another_attempt_has_the_slot_of_one_that_hangs() -> None:
    harness = EngineHarness()
    begun, hold = threading.Event(), threading.Event()

    @task
    def hang(value: int) -> bool:
        if value:
            begun.set()
            return hold.wait(LIMIT_S)
        return True

    try:
        async with harness.worker(Flow("w").then(hang).build(), slots=1):
            await harness.command("StartWorkflow", workflow="w", input=1)
            assert await asyncio.to_thread(begun.wait, LIMIT_S)
            await harness.command("StartWorkflow", "j", workflow="w", input=0)
            await harness.command("CancelWorkflow")
            await harness.until_kind("WorkflowCancelled")
            await harness.until_kind("WorkflowCompleted", "j")
    finally:
        hold.set()
