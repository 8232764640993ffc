"""Inputs that join much: bounded each, and all that are held together."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.graph.references import resolve, size_of
from sayiir_es.core.model.limits import Limits
from sayiir_es.core.model.rows import get_run
from sayiir_es.engine.attempts import held_inputs
from sayiir_es.engine.worker_settings import OwnerSettings, WorkerSettings
from tests.captured_logs import capture_logs
from tests.engine.harness import EngineHarness

if TYPE_CHECKING:
    import pytest

    from sayiir_es.core.authoring.workflow import Workflow

RESULT = "x" * 1_000
BRANCHES = 5
JOINED = BRANCHES * (len(RESULT) + 2)


async def produce(_: object) -> str:
    return RESULT


def joining(running: list[int], gate: asyncio.Event) -> Workflow:
    """A fork whose results a task holds until the gate is open."""

    async def hold(results: dict[str, str]) -> int:
        running.append(1)
        await gate.wait()
        running.pop()
        return len(results)

    fork = Flow("joining").fork()
    for number in range(BRANCHES):
        fork = fork.branch(produce, name=f"b{number}")
    return fork.join(hold).build()


async def test_an_attempt_waits_until_there_is_room_for_its_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(held_inputs, "BYTES_MAX", 2 * JOINED + 10)
    running, gate, harness = list[int](), asyncio.Event(), EngineHarness()
    names = [f"i{number}" for number in range(6)]
    with capture_logs() as lines:
        async with harness.worker(joining(running, gate), slots=8):
            for name in names:
                await harness.command("StartWorkflow", name, workflow="joining")
            for name in names:
                await harness.until_kind("TaskCompleted", name, count=BRANCHES)
            for _ in range(50):
                await asyncio.sleep(0)
            assert len(running) == 2
            gate.set()
            for name in names:
                assert await harness.output(name) == BRANCHES
    held_back = [one for one in lines if one["event"] == "executor.inputs_held_back"]
    assert held_back


async def test_what_waits_for_room_is_cancelled_and_drained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(held_inputs, "BYTES_MAX", JOINED + 10)
    running, gate, harness = list[int](), asyncio.Event(), EngineHarness()
    flow = joining(running, gate)
    async with harness.worker(flow, slots=8) as engine:
        for name in ("i", "j", "k"):
            await harness.command("StartWorkflow", name, workflow="joining")
            await harness.until_kind("TaskCompleted", name, count=BRANCHES)
            await harness.until_kind("PositionUpdated", name, count=BRANCHES)
        await harness.command("CancelWorkflow", "j")
        await harness.until_kind("WorkflowCancelled", "j")
        assert len(running) == 1
        owner = engine.owners[0]
        owner.drain()
        gate.set()
        async with asyncio.timeout(5):
            while owner.dispatcher.busy:  # noqa: ASYNC110 (no event says so)
                await asyncio.sleep(0)
        assert await harness.output("i") == BRANCHES
    async with harness.worker(flow, slots=8):
        assert await harness.output("k") == BRANCHES


async def test_an_input_beyond_the_limit_fails_its_instance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = Limits(input_bytes=JOINED - 1)
    of_owner = WorkerSettings.of_owner

    def limited(settings: WorkerSettings) -> OwnerSettings:
        return replace(of_owner(settings), limits=limits)

    monkeypatch.setattr(WorkerSettings, "of_owner", limited)
    running, gate, harness = list[int](), asyncio.Event(), EngineHarness()
    async with harness.worker(joining(running, gate), slots=8):
        await harness.command("StartWorkflow", workflow="joining")
        failed = await harness.until_kind("WorkflowFailed")
    assert f"at most {JOINED - 1} bytes" in str(failed)
    assert not running


async def test_the_size_of_a_joined_input_is_that_of_its_results() -> None:
    running, gate, harness = list[int](), asyncio.Event(), EngineHarness()
    gate.set()
    async with harness.worker(joining(running, gate), slots=8) as engine:
        await harness.command("StartWorkflow", workflow="joining")
        assert await harness.output() == BRANCHES
        rows = engine.owners[0].store.rows("i")
        run = get_run(rows)
        assert run is not None
        graph = engine.registry.by_digest(run.graph_digest)
        assert graph is not None
        fork = "||".join(f"b{number}" for number in range(BRANCHES))
        assert size_of(rows, graph, f"joined:{fork}") == JOINED
        assert len(resolve(rows, graph, f"joined:{fork}")) >= JOINED
