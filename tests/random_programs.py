"""Random programs as workflows of real functions, drawn by a seed.

The graph and the model that predicts its output and what its tasks return are those of
`tests.core.programs`. Here they become a `Workflow`, whose functions report each
execution to a witness, take their time, and fail as often as they may.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Protocol

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
    TaskNode,
)
from sayiir_es.engine.attempts.task_context import (
    TaskExecutionContext,
    get_task_context,
)
from tests.core.programs import digest, key_for, model, turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from random import Random

    from sayiir_es.core.graph.graph import Place

DEPTH_MAX = 3
RETRIES = 2


class Witness(Protocol):
    """Is told of every execution, and says how it goes."""

    def begins(self, context: TaskExecutionContext) -> float:
        """An execution begins; returns how long it takes, in seconds."""
        ...

    def fails(self, context: TaskExecutionContext) -> bool:
        """Whether an execution of a task fails now."""
        ...


# --- graphs ---------------------------------------------------------------------------


def random_graph(chance: Random, name: str, most: int = 20) -> Graph:
    """A graph of at most about `most` nodes, of every kind, nested."""
    names = iter(f"n{number}" for number in range(10_000))
    return Graph(name=name, chain=_chain(chance, names, 0, most, in_loop=False))


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
            kinds += ["fork", "route", "loop", "child"]
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
            if timed:
                limit = chance.randint(1, 900)
                return [SignalNode(id=name, signal=name, timeout_ms=limit)]
            # Several wait for one name: what a signal carries depends on that alone.
            return [SignalNode(id=name, signal=chance.choice("stu"), timeout_ms=None)]
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
    return context.idempotency_key.split("/", 2)[2]


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
        result: object = json.loads(digest(node.id, data))
        if not place.ends_loop:
            return result
        iteration = int(path_of(context).rpartition("@")[2].partition("/")[0])
        done = iteration + 1 >= turns(node.id)
        return LoopResult.done(result) if done else LoopResult.again(result)

    return run


def _plain(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
