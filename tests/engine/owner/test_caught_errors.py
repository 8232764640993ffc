"""An error that is caught stops what runs beside it; its slots are free again."""

from __future__ import annotations

import asyncio

from sayiir_es import Flow
from sayiir_es.core.model.events import ErrorCaught, OutcomeRejected
from tests.engine.harness import EngineHarness


async def test_what_runs_beside_is_stopped_and_its_slot_is_the_handlers() -> None:
    harness = EngineHarness()
    began, stopped = asyncio.Event(), asyncio.Event()

    async def hang(_value: object) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async def fail(_value: object) -> None:
        await began.wait()
        raise ValueError("no")

    async def mend(caught: dict[str, object]) -> object:
        await stopped.wait()
        return caught["input"]

    body = Flow().fork().branch(hang).branch(hang, name="b").branch(fail).join(mend)
    flow = Flow("w").attempt(body).on_error(mend).build()
    async with harness.worker(flow, slots=3):
        await harness.command("StartWorkflow", workflow="w", input=7)
        assert await harness.output() == 7
        assert not harness.executors[0].running()
    events = await harness.events()
    [caught] = [event for event in events if isinstance(event.body, ErrorCaught)]
    late = [event.body for event in events if isinstance(event.body, OutcomeRejected)]
    assert {body.reason for body in late} <= {"late"}
    assert all(
        event.sequence > caught.sequence
        for event in events
        if isinstance(event.body, OutcomeRejected)
    )


async def test_what_queues_beside_never_begins() -> None:
    harness = EngineHarness()
    ran: list[object] = []

    async def fail(_value: object) -> None:
        raise ValueError("no")

    async def run(value: object) -> object:
        ran.append(value)
        return value

    fork = Flow().fork().branch(fail)
    for number in range(20):
        fork.branch(run, name=f"b{number}")
    flow = Flow("w").attempt(fork.join(run)).on_error(run, name="mend").build()
    async with harness.worker(flow, slots=1):
        await harness.command("StartWorkflow", workflow="w", input=7)
        await harness.until_kind("WorkflowCompleted")
    # The slot of what failed may have been another's before that was decided.
    assert len(ran) <= 2
