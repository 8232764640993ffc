"""What the engine writes verifies clean: random instances, and real runs of workers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, get_args

from sayiir_es import Flow, RetryPolicy, task
from sayiir_es.audit import Checker
from sayiir_es.audit.verify.log import LogVerification
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.graph.record import record_of_graph
from sayiir_es.core.model.events import Body
from tests.audit.instance_logs import commands_of, events_of, records_of, verified
from tests.audit.random_instances import fork_of, random_instance
from tests.core.instance_runner import InstanceRunner
from tests.engine.harness import EngineHarness

if TYPE_CHECKING:
    import pytest

    from sayiir_es.audit import Violation
    from sayiir_es.log.port import Log

INSTANCES = 400
FORKED_INSTANCES = 60
OF_PARTITION = 5
"""Kinds that no instance has."""
OTHERWISE = 24
"""The kind that begins a fork, as tests/core forks forks, that of an attempt elsewhere,
and those of permits, of start queues, of bursts and of children as instances."""


def test_a_random_instance_with_crashes_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        InstanceRunner, "checked", False
    )  # tests/core compares the folds
    kinds: set[str] = set()
    for seed in range(INSTANCES):
        instance = random_instance(seed)
        events = events_of(instance)
        kinds.update(event.kind for event in events)
        violations = verified(
            records_of(events), instance.graph, commands_of(events), instance.others
        )
        assert not violations, f"seed {seed}: {violations[0]}"
    rare = {"DeadlineCleared", "WorkflowTerminated", "OutcomeRejected"}
    rare.add("WorkflowMigrated")
    assert rare <= kinds


def test_a_fork_at_any_event_of_a_random_instance_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(InstanceRunner, "checked", False)
    last: set[str] = set()
    for seed in range(60, 60 + FORKED_INSTANCES):  # every kind is in these
        source = random_instance(seed)
        history = [event for event in source.events if event.sequence]
        for at in range(1, len(history) + 1, 1 + len(history) // 40):
            fork = fork_of(source, at)
            if fork is None:
                continue
            last.add(history[at - 1].kind)
            events = events_of(fork)
            violations = verified(
                records_of(events), fork.graph, commands_of(events), fork.others
            )
            assert not violations, f"seed {seed} at {at}: {violations[0]}"
    assert len(last) == len(get_args(Body)) - OF_PARTITION - OTHERWISE


async def violations_of(log: Log, instance_id: str | None = None) -> list[Violation]:
    run = LogVerification(log, instance_id=instance_id)
    return [violation async for violation in run.violations()]


@task(timeout="30s", retries=RetryPolicy(max_retries=2, initial_delay_secs=0.01))
async def flaky(value: int) -> int:
    if value not in _seen:
        _seen.add(value)
        raise ValueError("once")
    return value + 1


_seen: set[int] = set()


@task
async def slow(value: int) -> int:
    await asyncio.sleep(0.01)
    return value * 2


@task
async def both(value: dict[str, int]) -> int:
    return sum(value.values())


def make_log() -> Flow:
    flow = Flow("make_log").then(flaky).delay("rest", 0.01)
    flow = flow.fork().branch(slow, name="x").branch(flaky, name="y").join(both)
    return flow.wait_for_signal("ok").then(slow, name="last")


async def test_runs_of_workers_that_take_over_verify_clean() -> None:
    _seen.clear()
    world, workflow = EngineHarness(), make_log().build()
    async with world.worker(workflow):
        for number in range(4):
            await world.command(
                "StartWorkflow", f"i{number}", workflow="make_log", input=number
            )
        await world.until_kind("ForkStarted", "i3")
    async with world.worker(workflow):
        for number in range(4):
            await world.command("PauseWorkflow", f"i{number}")
            await world.command("UnpauseWorkflow", f"i{number}")
            await world.command("SendSignal", f"i{number}", signal="ok", payload=number)
        await world.command("SendSignal", "nobody", signal="ok", payload=1)
        for number in range(4):
            await world.until_kind("WorkflowCompleted", f"i{number}")
        await world.command("PauseWorkflow", "i0")
        await world.until_kind("CommandRejected", "i0")
    assert await violations_of(world.log) == []
    assert await violations_of(world.log, "i2") == []


async def test_a_log_cut_anywhere_and_taken_over_verifies_clean() -> None:
    _seen.clear()
    world, workflow = EngineHarness(), make_log().build()
    async with world.worker(workflow):
        await world.command("StartWorkflow", workflow="make_log", input=1)
        await world.until_kind("SignalAwaited")
        await world.command("SendSignal", signal="ok", payload=1)
        await world.until_kind("WorkflowCompleted")
    for kept in (4, 7, 11):
        other = await world.copy_of_first(kept)
        if (await violations_of(other.log)) != []:
            continue  # the cut stands inside a decision: no owner leaves that
        async with other.worker(workflow):
            await other.until_kind("WorkflowCompleted")
        assert await violations_of(other.log) == [], kept


def test_memory_holds_only_what_has_not_ended() -> None:
    runner = InstanceRunner(Graph(name="w", chain=(TaskNode(id="a"), TaskNode(id="b"))))
    runner.start()
    runner.step()
    checker = Checker(partitions=1)
    checker.take_definition(record_of_graph(runner.graph))
    for record in records_of(events_of(runner)):
        assert not checker.take(0, record)
    assert checker.live == 1
    before = len(runner.events)
    runner.run()
    for record in records_of(events_of(runner))[before + 1 :]:
        assert not checker.take(0, record)
    assert checker.live == 0
