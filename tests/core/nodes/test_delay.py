"""Delays: parked, fired once, passed through."""

from __future__ import annotations

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import DelayNode, TaskNode
from sayiir_es.core.model.events import DelayStarted
from sayiir_es.core.model.inputs import TimerDue
from tests.core.instance_runner import InstanceRunner


def runner_of(*chain: TaskNode | DelayNode) -> InstanceRunner:
    return InstanceRunner(Graph(name="w", chain=chain))


def test_a_delay_parks_and_passes_its_input_through() -> None:
    runner = runner_of(TaskNode(id="a"), DelayNode(id="d", duration_ms=30_000))
    runner.start(b"5")
    assert runner.step()
    started = runner.events[-1].body
    assert started == DelayStarted(
        path="d", due_at=runner.now + 30_000, input="result:a"
    )
    assert not runner.step()
    runner.run()
    assert runner.output == b"5"
    assert runner.events[-1].cause == f"timer:d@{runner.now}"


def test_even_a_delay_of_nothing_parks() -> None:
    runner = runner_of(DelayNode(id="d", duration_ms=0))
    runner.start(b"5")
    assert runner.kinds()[-1] == "DelayStarted"
    runner.run()
    assert runner.output == b"5"


def test_a_delay_fires_once() -> None:
    runner = runner_of(
        DelayNode(id="d", duration_ms=10), DelayNode(id="e", duration_ms=10)
    )
    runner.start()
    due_at = runner.now + 10
    runner.now = due_at
    runner.decide(TimerDue(instance_id="i", chain="", due_at=due_at))
    events = runner.decide(TimerDue(instance_id="i", chain="", due_at=due_at))
    assert events == []


def test_a_delay_outlives_its_owner() -> None:
    runner = runner_of(DelayNode(id="d", duration_ms=10_000), TaskNode(id="a"))
    runner.start(b"5")
    runner.now += 60_000
    runner.crash()
    assert runner.header.phase == "running"
    runner.run()
    assert runner.output == b"5"
    assert runner.now == 1_060_000
