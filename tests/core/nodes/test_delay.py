"""Delays: parked, fired once, passed through."""

from __future__ import annotations

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import DelayNode, TaskNode
from sayiir_es.core.model.events import DelayStarted
from sayiir_es.core.model.inputs import TimerDue
from tests.core.instance_runner import InstanceRunner


def play(*chain: TaskNode | DelayNode) -> InstanceRunner:
    return InstanceRunner(Graph(name="w", chain=chain))


def test_a_delay_parks_and_passes_its_input_through() -> None:
    game = play(TaskNode(id="a"), DelayNode(id="d", duration_ms=30_000))
    game.start(b"5")
    assert game.step()
    started = game.events[-1].body
    assert started == DelayStarted(path="d", due_at=game.now + 30_000, input="result:a")
    assert not game.step()
    game.run()
    assert game.output == b"5"
    assert game.events[-1].cause == f"timer:d@{game.now}"


def test_even_a_delay_of_nothing_parks() -> None:
    game = play(DelayNode(id="d", duration_ms=0))
    game.start(b"5")
    assert game.kinds()[-1] == "DelayStarted"
    game.run()
    assert game.output == b"5"


def test_a_delay_fires_once() -> None:
    game = play(DelayNode(id="d", duration_ms=10), DelayNode(id="e", duration_ms=10))
    game.start()
    due_at = game.now + 10
    game.now = due_at
    game.decide(TimerDue(instance_id="i", chain="", due_at=due_at))
    events = game.decide(TimerDue(instance_id="i", chain="", due_at=due_at))
    assert events == []


def test_a_delay_outlives_its_owner() -> None:
    game = play(DelayNode(id="d", duration_ms=10_000), TaskNode(id="a"))
    game.start(b"5")
    game.now += 60_000
    game.crash()
    assert game.header.phase == "running"
    game.run()
    assert game.output == b"5"
    assert game.now == 1_060_000
