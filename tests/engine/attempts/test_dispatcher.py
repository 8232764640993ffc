"""Queues of attempts: what they hold, what they turn away, what a cancel costs."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.authoring.retries import RetryPolicy
from sayiir_es.core.authoring.tasks import task
from sayiir_es.core.decide.owed import OwedAttempt
from sayiir_es.core.draft import DecisionContext
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.engine.attempts import waiting_outcomes
from sayiir_es.engine.attempts.attempt import Attempt, State
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.owner.batch import Batch
from sayiir_es.engine.owner.event_encoder import EventEncoder
from tests.captured_logs import capture_logs
from tests.engine.harness import EngineHarness
from tests.engine.slow_log import SlowLog

if TYPE_CHECKING:
    import pytest

    from sayiir_es.core.authoring.workflow import Workflow

BRANCHES = 40


def wide(gate: asyncio.Event, executed: list[str]) -> Workflow:
    """A fork of many branches that wait for a gate; then a join that counts them."""

    @task(retries=RetryPolicy(max_retries=1, initial_delay_secs=0.01))
    async def hold(value: str) -> int:
        await gate.wait()
        executed.append(value)
        return 1

    async def count(results: dict[str, int]) -> int:
        return sum(results.values())

    fork = Flow("wide").fork()
    for number in range(BRANCHES):
        fork = fork.branch(hold, name=f"b{number}")
    return fork.join(count).build()


def attempts_alive() -> list[Attempt]:
    return [one for one in gc.get_objects() if isinstance(one, Attempt)]


async def test_a_queued_attempt_holds_no_input() -> None:
    gate, executed = asyncio.Event(), list[str]()
    harness = EngineHarness()
    async with harness.worker(wide(gate, executed), slots=2):
        await harness.command("StartWorkflow", workflow="wide", input="x" * 1000)
        await harness.until_kind("PositionUpdated", count=BRANCHES)
        queued = [one for one in attempts_alive() if one.state is State.QUEUED]
        assert len(queued) == BRANCHES - 2
        assert {one.input for one in queued} == {b""}
        gate.set()
        assert await harness.output() == BRANCHES


async def test_what_finds_the_queue_full_is_found_again_and_runs_once() -> None:
    gate, executed = asyncio.Event(), list[str]()
    harness = EngineHarness(queued_attempts_max=3)
    async with harness.worker(wide(gate, executed), slots=2) as engine:
        for name in ("i", "j"):
            await harness.command("StartWorkflow", name, workflow="wide", input=name)
            await harness.until_kind("PositionUpdated", name, count=BRANCHES)
        queued = [one for one in attempts_alive() if one.state is State.QUEUED]
        assert len(queued) <= 3
        gate.set()
        assert await harness.output("i") == BRANCHES
        assert await harness.output("j") == BRANCHES
        dispatcher = engine.owners[0].dispatcher
        assert not dispatcher.busy
        assert dispatcher.queued == 0
    assert sorted(executed) == ["i"] * BRANCHES + ["j"] * BRANCHES


async def test_a_take_over_finds_more_than_the_queue_takes() -> None:
    gate, executed = asyncio.Event(), list[str]()
    harness = EngineHarness(queued_attempts_max=3)
    flow = wide(gate, executed)
    async with harness.worker(flow, slots=2):
        await harness.command("StartWorkflow", workflow="wide", input="i")
        await harness.until_kind("PositionUpdated", count=BRANCHES)
    assert executed == []
    gate.set()
    async with harness.worker(flow, slots=2):
        assert await harness.output() == BRANCHES
        kinds = await harness.kinds()
    assert executed == ["i"] * BRANCHES
    assert kinds.count("AttemptRestarted") == BRANCHES  # each may have begun before


async def test_what_a_take_over_finds_in_a_drain_that_ends_is_restarted() -> None:
    harness = EngineHarness()

    @task
    async def once(value: int) -> int:
        return value

    async with harness.worker(Flow("w").then(once).build()) as engine:
        owner = engine.owners[0]
        owner.drain()
        await harness.command("StartWorkflow", workflow="w", input=1)
        await harness.until_kind("PositionUpdated")
        owed = OwedAttempt(
            run=1,
            path="once",
            attempt=1,
            input="start",
            not_before=0,
            deadline_at=None,
            begun=True,
            withdrawn=False,
        )
        encoder = EventEncoder()
        context = DecisionContext(
            claim=0,
            now_ms=0,
            definitions=Registry(),
            limits=DEFAULT_LIMITS,
            batch_bytes=1_000_000,
            size_of=encoder.size_of,
        )
        batch = Batch(owner.store, context, encoder)
        assert owner.dispatcher.offer(batch, "i", owed, restart=True) is None
        owner.dispatcher.resume()
        assert await harness.output() == 1
        assert "AttemptRestarted" in await harness.kinds()


async def test_a_cancel_withdraws_what_queues_and_what_was_turned_away() -> None:
    gate, executed = asyncio.Event(), list[str]()
    harness = EngineHarness(queued_attempts_max=3)
    async with harness.worker(wide(gate, executed), slots=2):
        await harness.command("StartWorkflow", workflow="wide", input="i")
        await harness.until_kind("PositionUpdated", count=BRANCHES)
        await harness.command("CancelWorkflow")
        await harness.until_kind("WorkflowCancelled")
        kinds = await harness.kinds()
        assert kinds.count("AttemptWithdrawn") == BRANCHES
        await harness.command("StartWorkflow", "j", workflow="wide", input="j")
        gate.set()
        assert await harness.output("j") == BRANCHES
    assert executed == ["j"] * BRANCHES


async def test_nothing_more_is_started_while_many_bytes_of_outcomes_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting_outcomes, "BYTES_MAX", 3)
    gate, executed, log = asyncio.Event(), list[str](), SlowLog()
    harness = EngineHarness(log=log)
    log.gate.set()
    async with harness.worker(wide(gate, executed), slots=2):
        await harness.command("StartWorkflow", workflow="wide", input="x")
        await harness.until_kind("PositionUpdated", count=BRANCHES)
        log.gate.clear()  # the log is slow from here on
        with capture_logs() as lines:
            gate.set()
            for _ in range(500):
                await asyncio.sleep(0)
        # Besides these: what is in the batch in flight, and one for each slot.
        assert 3 <= len(executed) <= 3 + 2 + 2
        held_back = [one for one in lines if one["event"].endswith("held_back")]
        assert len(held_back) == 1
        log.gate.set()
        assert await harness.output() == BRANCHES
