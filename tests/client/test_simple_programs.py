"""The simple engine runs random programs, on every way to what the model says."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest

from sayiir_es import LoopResult
from sayiir_es.core.authoring.workflow import Workflow
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import (
    Branch,
    ChildNode,
    DelayNode,
    ForkNode,
    LoopNode,
    Node,
    Retry,
    RouteNode,
    SignalNode,
    StartChildNode,
    TaskNode,
    TryNode,
)
from tests.client.simple_ways import KINDS, Kind, Run, every_way, of_kind
from tests.core.programs import always_fails, digest, key_for, turns
from tests.random_programs import output_of, random_graph

if TYPE_CHECKING:
    from sayiir_es.core.authoring.steps import Function
    from sayiir_es.core.graph.graph import Place


@every_way
@pytest.mark.parametrize("kinds", [("sync",), ("async",), KINDS], ids="+".join)
@pytest.mark.parametrize("seed", range(12))
def test_a_random_program_gives_what_the_model_says(
    run: Run, kinds: tuple[Kind, ...], seed: int
) -> None:
    chance = Random(seed)  # noqa: S311 (no secret)
    graph = random_graph(chance, "program", most=30)
    graph = Graph(name=graph.name, chain=without_waits(graph.chain))
    functions = {
        path: of_kind(chance.choice(kinds), function_of(place))
        for path, place in graph.places.items()
        if isinstance(place.node, TaskNode | RouteNode)
    }
    workflow = Workflow(graph=graph, functions=functions)
    for value in (seed, {"seed": seed}):  # a second run finds what the first prepared
        assert run(workflow, value) == output_of(graph, value)


def without_waits(chain: tuple[Node, ...]) -> tuple[Node, ...]:
    """The chain with tasks in place of waits for signals, and with short delays."""
    return tuple(map(_without_waits, chain))


def _without_waits(node: Node) -> Node:
    match node:
        case SignalNode(keep_input=True):
            return DelayNode(id=node.id, duration_ms=0)
        case SignalNode():
            return TaskNode(id=node.id)
        case DelayNode():
            return replace(node, duration_ms=node.duration_ms % 2)
        case TaskNode(retry=Retry() as retry):
            return replace(node, retry=replace(retry, initial_delay_ms=1))
        case TaskNode() | StartChildNode():
            return node
        case _:
            return _without_waits_inside(node)


def _without_waits_inside(
    node: ForkNode | RouteNode | LoopNode | ChildNode | TryNode,
) -> Node:
    match node:
        case ForkNode():
            return replace(node, branches=tuple(map(_branch, node.branches)))
        case RouteNode():
            default = None if node.default is None else without_waits(node.default)
            branches = tuple(map(_branch, node.branches))
            return replace(node, branches=branches, default=default)
        case LoopNode():
            return replace(node, body=without_waits(node.body))
        case ChildNode():
            return replace(node, chain=without_waits(node.chain))
        case TryNode():
            return replace(
                node,
                body=without_waits(node.body),
                handler=without_waits(node.handler),
            )


def _branch(branch: Branch) -> Branch:
    return replace(branch, chain=without_waits(branch.chain))


def function_of(place: Place) -> Function:
    """A function that does what the model says, and fails as often as it may."""
    node = place.node
    calls: Counter[str] = Counter()

    def function(value: object) -> object:
        data = json.dumps(value, separators=(",", ":")).encode()
        if isinstance(node, RouteNode):
            return key_for(node, data)
        assert isinstance(node, TaskNode)
        if always_fails(node):
            raise ValueError("no")
        calls["attempts"] += 1
        if node.retry is not None and calls["attempts"] % (node.retry.max_retries + 1):
            raise ValueError("not yet")
        result: object = json.loads(digest(node.id, data))
        if not place.ends_loop:
            return result
        calls["iterations"] += 1
        if calls["iterations"] % turns(node.id):
            return LoopResult.again(result)
        return LoopResult.done(result)

    return function
