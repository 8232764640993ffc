"""`sayiir_es.aio.run_workflow`: with persistence and without."""

from __future__ import annotations

import asyncio

import pytest

from sayiir_es import Flow, InMemoryBackend, TaskError, WorkflowError, aio


async def double(value: int) -> int:
    await asyncio.sleep(0)
    return value * 2


def boom(_: object) -> object:
    raise ValueError("no way")


async def test_a_workflow_without_persistence_runs_on_the_callers_loop() -> None:
    loops: list[object] = []

    async def note(value: int) -> int:
        loops.append(asyncio.get_running_loop())
        return value + 1

    assert await aio.run_workflow(Flow().then(double).then(note).build(), 4) == 9
    assert loops == [asyncio.get_running_loop()]
    with pytest.raises(TaskError, match="no way"):
        await aio.run_workflow(Flow().then(boom).build(), 4)


async def test_a_durable_workflow_gives_its_output_or_raises() -> None:
    backend = InMemoryBackend()
    flow = Flow().then(double).build()
    output = await aio.run_workflow(flow, 4, instance_id="a", backend=backend)
    assert output == 8
    with pytest.raises(WorkflowError, match=r"status=failed"):
        await aio.run_workflow(
            Flow().then(boom).build(), 4, instance_id="b", backend=backend
        )
    await aio.aclose(backend)
