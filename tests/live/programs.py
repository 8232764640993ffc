"""The random programs of a seed, how their tasks fail, and what they must count.

Theory of operation. A test and its workers draw the same programs from one seed. How
often an attempt fails, how long it takes, and whether it runs on a thread follow from a
digest of its idempotency key, so that every process that executes it does the same. A
task's output says by how much it increments the counter of its node and instance: the
sums in the log must equal those of a model that knows no log.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

from sayiir_es.core.authoring.workflow import Workflow
from sayiir_es.core.graph.graph import inner_chains
from sayiir_es.core.graph.nodes import (
    ChildNode,
    ForkNode,
    LoopNode,
    RouteNode,
    TaskNode,
    TryNode,
)
from tests import random_programs
from tests.core.programs import digest, key_for, model, turns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    from sayiir_es.core.authoring.steps import Function
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.graph.nodes import Node
    from sayiir_es.engine.attempts.task_context import TaskExecutionContext
    from tests.live.journal import Journal

PROGRAMS = 12
NODES_MOST = 14

# Most take no time, so that much happens; some are still running when a kill comes.
_TAKES_S = (0.0, 0.0, 0.0, 0.0, 0.01, 0.05, 0.2, 0.8)
_THREADED = 4
"""One in so many tasks is a plain function, which runs on a thread."""

Counts: TypeAlias = "Counter[tuple[str, str]]"
"""Instance and node id → the sum of its increments."""


def graphs_of(seed: int) -> tuple[Graph, ...]:
    """The programs of a seed."""
    chance = Random(seed)  # noqa: S311 - no secret
    return tuple(
        random_programs.random_graph(
            chance, f"p{number}", NODES_MOST, with_failures=False
        )
        for number in range(PROGRAMS)
    )


# --- how an execution fails, and how long it takes ------------------------------------


def failures_due(key: str) -> int:
    """How often the attempts of an execution that has retries fail, by its key."""
    return _lot(key)[0] % (random_programs.RETRIES + 1)


class JournalWitness:
    """Adds each execution to a journal; see `tests.random_programs.Witness`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def begins(self, context: TaskExecutionContext) -> float:
        """An execution begins; how long it takes, in seconds."""
        self._journal.note(context)
        lot = _lot(f"{context.idempotency_key}#{context.attempt}")
        return _TAKES_S[lot[1] % len(_TAKES_S)]

    def fails(self, context: TaskExecutionContext) -> bool:
        """Whether this attempt fails."""
        key = context.idempotency_key
        return context.node.retry is not None and context.attempt <= failures_due(key)


def workflows_of(seed: int, journal: Journal) -> list[Workflow]:
    """The programs of a seed with functions that keep a journal."""
    witness = JournalWitness(journal)
    return [
        _partly_threaded(random_programs.workflow_of(graph, witness))
        for graph in graphs_of(seed)
    ]


def _partly_threaded(workflow: Workflow) -> Workflow:
    functions = {
        path: _on_a_thread(function) if _lot(path)[2] % _THREADED == 0 else function
        for path, function in workflow.functions.items()
    }
    return Workflow(graph=workflow.graph, functions=functions)


def _on_a_thread(function: Function) -> Function:
    async def awaited(value: object) -> object:
        result = function(value)
        assert inspect.isawaitable(result)
        return await result

    def run(value: object) -> object:
        return asyncio.run(awaited(value))

    return run


def _lot(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


# --- the model ------------------------------------------------------------------------


def amount(output: bytes) -> int:
    """By how much a task with that output increments its counter."""
    return 1 + int(json.loads(output)[:3], 16)


def counts_of(instance_id: str, graph: Graph) -> Counts:
    """The counters of an instance at its end; its input is its id."""
    counts: Counts = Counter()
    for node_id, output in _outputs(graph.chain, json.dumps(instance_id).encode()):
        counts[instance_id, node_id] += amount(output)
    return counts


def _outputs(chain: tuple[Node, ...], data: bytes) -> Iterator[tuple[str, bytes]]:
    """Node id and output of each task that completes, once for each time."""
    for node in chain:
        match node:
            case TaskNode():
                yield node.id, digest(node.id, data)
            case ForkNode():
                for _, inner in inner_chains(node):
                    yield from _outputs(inner, data)
            case RouteNode():
                yield from _outputs(_chain_of_key(node, data), data)
            case LoopNode():
                yield from _outputs_of_loop(node, data)
            case ChildNode():
                yield from _outputs(node.chain, data)
            case TryNode():
                yield from _outputs(node.body, data)
            case _:
                pass
        data = model((node,), data)


def _chain_of_key(node: RouteNode, data: bytes) -> tuple[Node, ...]:
    key = key_for(node, data)
    chain = next((b.chain for b in node.branches if b.name == key), node.default)
    assert chain is not None
    return chain


def _outputs_of_loop(node: LoopNode, data: bytes) -> Iterator[tuple[str, bytes]]:
    last = [inner for inner in node.body if isinstance(inner, TaskNode)][-1]
    for _ in range(turns(last.id)):
        yield from _outputs(node.body, data)
        data = model(node.body, data)
