"""Random programs whose delays and time-outs are whole thousands of seconds.

Each time that a scenario lets pass is `OFF_S` longer than that. So no timer, begun at
the end of any step, is due near the end of another: what tasks take, and a driver's way
to wait, are far less than `OFF_S`.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import (
    ChildNode,
    DelayNode,
    ForkNode,
    LoopNode,
    Node,
    RouteNode,
    SignalNode,
    TryNode,
)
from sayiir_es.testing import Scenario, given
from tests.random_programs import RETRIES, path_of, random_graph, workflow_of

if TYPE_CHECKING:
    from sayiir_es.engine.attempts.task_context import TaskExecutionContext

UNIT_S = 1_000
"""Seconds for each 100 ms of a drawn program."""

OFF_S = 70


class ByPath:
    """A witness by whose word an execution goes as its path and attempt say."""

    def begins(self, context: TaskExecutionContext) -> float:
        """Some take a second."""
        return float(_number(context, "takes") % 4 == 0)

    def fails(self, context: TaskExecutionContext) -> bool:
        """Some fail as often as they may, a few once more."""
        most = RETRIES if _number(context, "most") % 20 else RETRIES + 1
        may_retry = context.metadata.retries is not None
        failures = _number(context, "fails") % (most + 1)
        return context.attempt <= failures and (may_retry or failures > RETRIES)


def random_scenario(seed: int, *, steps: int = 5) -> Scenario:
    """A program, and what happens to it, drawn by a seed."""
    chance = Random(seed)  # noqa: S311 (a test's)
    drawn = random_graph(chance, "w", most=12)
    # Some programs run out of time: in the middle between two instants of others.
    limit_ms = None if drawn.timeout_ms is None else UNIT_S * 5_500
    graph = Graph(name="w", chain=_scaled(drawn.chain), timeout_ms=limit_ms)
    scenario = given(workflow_of(graph, ByPath()), seed)
    for _ in range(steps):
        scenario = _with_step(scenario, chance)
    return scenario


def _with_step(scenario: Scenario, chance: Random) -> Scenario:
    match chance.choice(["after", "after", "signal", "signal", "pause", "rest", "end"]):
        case "after":
            return scenario.after(UNIT_S * chance.randint(0, 5) + OFF_S)
        case "signal":
            name = chance.choice("stu")
            return scenario.signal(name, f"{name}!")
        case "pause":
            paused = scenario.pause()
            return paused.after(UNIT_S * chance.randint(0, 5) + OFF_S).unpause()
        case "end":
            return chance.choice([scenario.cancel(), scenario.retry()])
        case _:
            return scenario.crash()


def _scaled(chain: tuple[Node, ...]) -> tuple[Node, ...]:
    return tuple(_scaled_node(node) for node in chain)


def _scaled_node(node: Node) -> Node:
    match node:
        case DelayNode():
            return replace(node, duration_ms=_scale(node.duration_ms))
        case SignalNode():
            limit = node.timeout_ms
            if limit is None:
                return node
            fails = limit % 5 == 0
            return replace(
                node,
                timeout_ms=_scale(limit),
                on_timeout="fail" if fails else "null",
            )
        case ForkNode():
            branches = (replace(b, chain=_scaled(b.chain)) for b in node.branches)
            return replace(node, branches=tuple(branches))
        case RouteNode():
            branches = (replace(b, chain=_scaled(b.chain)) for b in node.branches)
            default = None if node.default is None else _scaled(node.default)
            return replace(node, branches=tuple(branches), default=default)
        case LoopNode():
            return replace(node, body=_scaled(node.body))
        case ChildNode():
            return replace(node, chain=_scaled(node.chain))
        case TryNode():
            body, handler = _scaled(node.body), _scaled(node.handler)
            return replace(node, body=body, handler=handler)
        case _:
            return node


def _scale(ms: int) -> int:
    return (ms + 99) // 100 * UNIT_S * 1000


def _number(context: TaskExecutionContext, what: str) -> int:
    return zlib.crc32(f"{what} {path_of(context)}".encode())
