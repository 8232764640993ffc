"""What concerns every attempt shares the event loop: drains, ends of tenures, holds."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.authoring.tasks import task
from sayiir_es.engine.attempts import dispatcher, held_chains
from tests.engine.harness import EngineHarness

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.engine.attempts.local_executor import LocalExecutor

BRANCHES = 60
SLOTS = 2
PORTION = 7


@pytest.fixture(autouse=True)
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (dispatcher, held_chains):
        monkeypatch.setattr(module, "PORTION", PORTION)


def wide(gate: asyncio.Event, executed: list[str]) -> Workflow:
    @task
    async def hold(value: str) -> int:
        executed.append(value)
        await gate.wait()
        return 1

    async def count(results: dict[str, int]) -> int:
        return sum(results.values())

    fork = Flow("wide").fork()
    for number in range(BRANCHES):
        fork = fork.branch(hold, name=f"b{number}")
    return fork.join(count).build()


def queued(executor: LocalExecutor) -> int:
    return executor._slots.queued  # pyright: ignore[reportPrivateUsage]


@asynccontextmanager
async def in_portions(executor: LocalExecutor) -> AsyncGenerator[None]:
    """Fails if more than a portion leaves the queue between two turns of the loop."""
    most, before = 0, queued(executor)

    async def watch() -> None:
        nonlocal most, before
        while True:
            now = queued(executor)
            most, before = max(most, before - now), now
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    yield
    watching.cancel()
    most = max(most, before - queued(executor))
    assert queued(executor) == 0
    assert 0 < most <= PORTION + SLOTS


async def start(harness: EngineHarness) -> None:
    await harness.command("StartWorkflow", workflow="wide", input="x")
    await harness.until_kind("PositionUpdated", count=BRANCHES)


async def test_a_cancel_holds_the_branches_back_in_portions() -> None:
    gate, executed = asyncio.Event(), list[str]()
    harness = EngineHarness()
    async with harness.worker(wide(gate, executed), slots=SLOTS):
        await start(harness)
        async with in_portions(harness.executors[0]):
            await harness.command("CancelWorkflow")
            await harness.until_kind("WorkflowCancelled")
        kinds = await harness.kinds()
    assert kinds.count("AttemptWithdrawn") == BRANCHES
    assert len(executed) == SLOTS


async def test_a_cancel_behind_a_pause_reaches_what_runs() -> None:
    gate, executed = asyncio.Event(), list[str]()
    harness = EngineHarness()
    async with harness.worker(wide(gate, executed), slots=SLOTS):
        await start(harness)
        await harness.command("PauseWorkflow")
        await harness.until_kind("AttemptWithdrawn", count=BRANCHES - SLOTS)
        await harness.command("CancelWorkflow")
        await harness.until_kind("WorkflowCancelled")


async def test_a_drain_takes_the_queue_back_in_portions_and_starts_none() -> None:
    gate, executed = asyncio.Event(), list[str]()
    harness = EngineHarness()
    async with harness.worker(wide(gate, executed), slots=SLOTS) as engine:
        await start(harness)
        owner = engine.owners[0]
        async with in_portions(harness.executors[0]):
            owner.drain()
            gate.set()  # slots come free while the queue is taken back
            async with asyncio.timeout(5):
                while owner.dispatcher.busy:  # noqa: ASYNC110 (no event says so)
                    await asyncio.sleep(0)
        assert len(executed) == SLOTS
        owner.dispatcher.resume()
        assert await harness.output() == BRANCHES
    assert len(executed) == BRANCHES


async def test_a_drain_that_is_taken_back_half_way_loses_no_attempt() -> None:
    gate, executed = asyncio.Event(), list[str]()
    harness = EngineHarness()
    async with harness.worker(wide(gate, executed), slots=SLOTS) as engine:
        await start(harness)
        owner = engine.owners[0]
        owner.drain()
        gate.set()
        for _ in range(3):
            await asyncio.sleep(0)
        assert 0 < queued(harness.executors[0]) < BRANCHES - SLOTS
        owner.dispatcher.resume()
        assert await harness.output() == BRANCHES
    assert len(executed) == BRANCHES


async def test_the_end_of_a_tenure_drops_the_attempts_in_portions() -> None:
    gate, executed = asyncio.Event(), list[str]()
    harness = EngineHarness()
    async with harness.worker(wide(gate, executed), slots=SLOTS) as engine:
        await start(harness)
        dispatching, executor = engine.owners[0].dispatcher, harness.executors[0]
        async with in_portions(executor):
            dropping = asyncio.create_task(dispatching.drop_all())
            await asyncio.sleep(0)
            gate.set()  # what runs ends meanwhile, and its slots come free
            await dropping
        assert not dispatching.busy
        assert len(executor.running()) == 0
        slots = executor._slots  # pyright: ignore[reportPrivateUsage]
        assert slots._free == SLOTS  # pyright: ignore[reportPrivateUsage]
        dispatching.resume()  # nothing of it is lost: it is owed
        assert await harness.output() == BRANCHES


async def test_a_cancelled_end_of_a_tenure_drops_the_rest_at_once() -> None:
    gate, executed = asyncio.Event(), list[str]()
    harness = EngineHarness()
    async with harness.worker(wide(gate, executed), slots=SLOTS) as engine:
        await start(harness)
        dropping = asyncio.create_task(engine.owners[0].dispatcher.drop_all())
        await asyncio.sleep(0)
        dropping.cancel()
        await asyncio.gather(dropping, return_exceptions=True)
        assert queued(harness.executors[0]) == 0
        assert len(harness.executors[0].running()) == 0
