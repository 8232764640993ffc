"""Random programs as workflows of real functions, drawn by a seed.

The graph and the model that predicts its output and what its tasks return are those of
`tests.core.programs`. Here they become a `Workflow`, whose functions report each
execution to a witness, take their time, and fail as often as they may.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Protocol, TypeAlias

from sayiir_es.core.authoring.loop_result import LoopResult
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
from sayiir_es.engine.attempts.task_context import (
    TaskExecutionContext,
    get_task_context,
)
from tests.core.programs import (
    SHAPES,
    WANTED,
    always_fails,
    digest,
    failing_body,
    key_for,
    model,
    turns,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from sayiir_es.core.graph.graph import Place

Leaf: TypeAlias = TaskNode | DelayNode | SignalNode | StartChildNode

DEPTH_MAX = 3
RETRIES = 2
MONTH_MS = 30 * 24 * 3_600_000
"""So long no program takes."""


class Witness(Protocol):
    """Is told of every execution, and says how it goes."""

    def begins(self, context: TaskExecutionContext) -> float:
        """An execution begins; returns how long it takes, in seconds."""
        ...

    def fails(self, context: TaskExecutionContext) -> bool:
        """Whether an execution of a task fails now."""
        ...


# --- graphs ---------------------------------------------------------------------------


def random_graph(
    chance: Random, name: str, most: int = 20, *, with_failures: bool = True
) -> Graph:
    """A graph of at most about `most` nodes, of every kind, nested.

    Without failures no task of it fails always, so that each way through it is known.
    """
    names = iter(f"n{number}" for number in range(10_000))
    chain = _chain(chance, names, 0, most, in_loop=False)
    while not with_failures and any(
        always_fails(place.node)
        for place in Graph(name=name, chain=chain).places.values()
    ):
        chain = _chain(chance, names, 0, most, in_loop=False)
    limit = MONTH_MS if chance.random() < 0.3 else None
    graph = Graph(name=name, chain=chain, timeout_ms=limit)
    # Drawn apart, so that the rest of what a seed gives stays as it was.
    own = Random(graph.digest)  # noqa: S311
    if own.random() < 0.5:
        return graph
    return replace(graph, chain=with_compensations(own, graph.chain))


def with_compensations(chance: Random, chain: tuple[Node, ...]) -> tuple[Node, ...]:
    """The same chain, in which about half of all tasks can be undone."""

    def compensated(node: Leaf) -> Node:
        if not isinstance(node, TaskNode) or chance.random() < 0.5:
            return node
        return replace(node, compensate=compensation_of(chance, node))

    return map_leaves(compensated, chain)


def map_leaves(
    change: Callable[[Leaf], Node], chain: tuple[Node, ...]
) -> tuple[Node, ...]:
    """The same chain with each node changed that has no others in it."""
    return tuple(_map_leaves(change, node) for node in chain)


def _map_leaves(change: Callable[[Leaf], Node], node: Node) -> Node:
    match node:
        case ForkNode():
            return replace(node, branches=_map_branches(change, node.branches))
        case RouteNode():
            default = node.default and map_leaves(change, node.default)
            branches = _map_branches(change, node.branches)
            return replace(node, branches=branches, default=default)
        case LoopNode():
            return replace(node, body=map_leaves(change, node.body))
        case ChildNode():
            return replace(node, chain=map_leaves(change, node.chain))
        case TryNode():
            body = map_leaves(change, node.body)
            handler = map_leaves(change, node.handler)
            return replace(node, body=body, handler=handler)
        case TaskNode() | DelayNode() | SignalNode() | StartChildNode():
            return change(node)


def _map_branches(
    change: Callable[[Leaf], Node], branches: tuple[Branch, ...]
) -> tuple[Branch, ...]:
    return tuple(
        replace(branch, chain=map_leaves(change, branch.chain)) for branch in branches
    )


def compensation_of(chance: Random, node: TaskNode) -> TaskNode:
    """What undoes a task: with retries or a time-out, or with none."""
    retry = Retry(max_retries=RETRIES, initial_delay_ms=50)
    return TaskNode(
        id=f"un{node.id}",
        retry=retry if chance.random() < 0.4 else None,
        timeout_ms=600_000 if chance.random() < 0.3 else None,
    )


def signals_of(graph: Graph) -> list[str]:
    """The signals that the graph waits for without a time-out."""
    return [
        place.node.signal
        for place in graph.places.values()
        if isinstance(place.node, SignalNode) and place.node.timeout_ms is None
    ]


def output_of(graph: Graph, value: object) -> object:
    """What the model says that the program gives."""
    output: object = json.loads(model(graph.chain, _plain(value)))
    return output


def payload_of(signal: str) -> str:
    """What a signal carries, by the model."""
    return f"{signal}!"


def _chain(
    chance: Random, names: Iterator[str], depth: int, most: int, *, in_loop: bool
) -> tuple[Node, ...]:
    chain: list[Node] = []
    for _ in range(chance.randint(1, max(1, min(4, most)))):
        kinds = ["task", "task", "retried", "timed", "delay", "signal"]
        if depth < DEPTH_MAX and most > 3:
            kinds += ["fork", "route", "loop", "child", "try"]
        chain += _nodes(
            chance, names, (depth, most), chance.choice(kinds), in_loop=in_loop
        )
    return tuple(chain)


def _nodes(
    chance: Random,
    names: Iterator[str],
    room: tuple[int, int],
    kind: str,
    *,
    in_loop: bool,
) -> list[Node]:
    """One node, or a fork with its join."""
    name = next(names)
    depth, most = room

    def inner(*, loop: bool = in_loop) -> tuple[Node, ...]:
        return _chain(chance, names, depth + 1, most // 3, in_loop=loop)

    match kind:
        case "delay":
            return [DelayNode(id=name, duration_ms=chance.randint(0, 900))]
        case "signal":
            timed = in_loop or chance.random() < 0.5
            # Several wait for one name: what a signal carries depends on that alone.
            return [
                SignalNode(
                    id=name,
                    signal=name if timed else chance.choice("stu"),
                    timeout_ms=chance.randint(1, 900) if timed else None,
                    keep_input=chance.random() < 0.3,
                )
            ]
        case "fork":
            keys = [
                chance.choice(["x", "y", f"b{n}"]) for n in range(chance.randint(1, 3))
            ]
            branches = tuple(Branch(name=key, chain=inner()) for key in keys)
            return [ForkNode(id=name, branches=branches), TaskNode(id=next(names))]
        case "route":
            keys = sorted(chance.sample("abc", chance.randint(1, 3)))
            branches = tuple(Branch(name=key, chain=inner()) for key in keys)
            default = inner() if chance.random() < 0.5 else None
            return [
                RouteNode(id=name, keys=tuple(keys), branches=branches, default=default)
            ]
        case "loop":
            return [_loop(chance, names, name, inner(loop=True))]
        case "child":
            return [ChildNode(id=name, workflow="c", chain=inner())]
        case "try":
            body = inner()
            if chance.random() < 0.6:
                body = failing_body(chance.choice(SHAPES), body, names)
            errors = chance.choice(WANTED)
            return [TryNode(id=name, body=body, handler=inner(), errors=errors)]
        case _:
            retry = Retry(max_retries=RETRIES, initial_delay_ms=50)
            return [
                TaskNode(
                    id=name,
                    retry=retry if kind == "retried" else None,
                    timeout_ms=600_000 if kind == "timed" else None,
                )
            ]


def _loop(
    chance: Random, names: Iterator[str], name: str, inner: tuple[Node, ...]
) -> LoopNode:
    most = chance.randint(1, 4)
    body = (*inner, TaskNode(id=f"{next(names)}-{chance.randint(0, most - 1)}"))
    if chance.random() < 0.5:
        body = (*body, DelayNode(id=next(names), duration_ms=5))
    if chance.random() < 0.3:
        kept = next(names)
        wait = SignalNode(id=kept, signal=kept, timeout_ms=5, keep_input=True)
        body = (*body, wait)
    return LoopNode(id=name, body=body, max_iterations=most)


# --- functions ------------------------------------------------------------------------


def workflow_of(graph: Graph, witness: Witness) -> Workflow:
    """A workflow whose functions do what the model says."""
    functions: dict[str, Callable[[object], Awaitable[object]]] = {
        path: _function(place, witness)
        for path, place in graph.places.items()
        if isinstance(place.node, TaskNode | RouteNode)
    }
    return Workflow(graph=graph, functions=functions)


def path_of(context: TaskExecutionContext) -> str:
    """The node path of an attempt, its iterations included."""
    behind_id = context.idempotency_key[len(context.instance_id) + 1 :]
    return behind_id.partition("/")[2]


def _function(place: Place, witness: Witness) -> Callable[[object], Awaitable[object]]:
    node = place.node

    async def run(value: object) -> object:
        context = get_task_context()
        assert context is not None
        await asyncio.sleep(witness.begins(context))
        data = _plain(value)
        if isinstance(node, RouteNode):
            return key_for(node, data)
        assert isinstance(node, TaskNode)
        if witness.fails(context):
            raise ValueError("as it may")
        if always_fails(node):
            raise ValueError("no")
        result: object = json.loads(digest(node.id, data))
        if not place.ends_loop:
            return result
        iteration = int(path_of(context).rpartition("@")[2].partition("/")[0])
        done = iteration + 1 >= turns(node.id)
        return LoopResult.done(result) if done else LoopResult.again(result)

    return run


def _plain(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
