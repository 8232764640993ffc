"""`kill -9` before every step of four scenarios: the same output, nothing lost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import (
    Branch,
    ChildNode,
    DelayNode,
    ForkNode,
    LoopNode,
    Retry,
    RouteNode,
    SignalNode,
    TaskNode,
)
from tests.simulation.run import simulate
from tests.simulation.world import Plan

if TYPE_CHECKING:
    from sayiir_es.core.graph.nodes import Node

RETRY = Retry(max_retries=2, initial_delay_ms=50)


def scenario(*chain: Node) -> Plan:
    return Plan(
        workers=2,
        partitions=1,
        instances=1,
        graphs=(Graph(name="w", chain=chain),),
        chaos=False,
    )


SCENARIOS = {
    "a chain with retry and deadline": scenario(
        TaskNode(id="a", retry=RETRY, timeout_ms=60_000), TaskNode(id="b")
    ),
    "a fork with delay and signal": scenario(
        ForkNode(
            id="f",
            branches=(
                Branch(name="x", chain=(DelayNode(id="d", duration_ms=40),)),
                Branch(
                    name="y",
                    chain=(SignalNode(id="s", signal="s", timeout_ms=None),),
                ),
            ),
        ),
        TaskNode(id="join"),
    ),
    "a loop with child and route": scenario(
        LoopNode(
            id="l",
            body=(
                ChildNode(id="c", workflow="c", chain=(TaskNode(id="in"),)),
                RouteNode(
                    id="r",
                    keys=("k",),
                    branches=(Branch(name="k", chain=(TaskNode(id="t"),)),),
                    default=None,
                ),
                TaskNode(id="b-1"),
            ),
            max_iterations=2,
        )
    ),
    "an instance that is forked": replace(
        scenario(TaskNode(id="a", timeout_ms=60_000), TaskNode(id="b")), forked_at=2
    ),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_kill_before_any_step_changes_nothing(name: str) -> None:
    plan = SCENARIOS[name]
    undisturbed = simulate(1, plan)
    assert not undisturbed.problems
    assert undisturbed.forks == bool(plan.forked_at)
    for step in range(1, undisturbed.steps):
        report = simulate(1, plan, kill_at=step)
        assert not report.problems, f"killed before step {step}: {report}"
