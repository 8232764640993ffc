"""What the graphs of a simulated world have beside what random programs have.

None of it changes what a program gives: a child gives what it was given.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from sayiir_es.core.authoring.workflow import Workflow
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import (
    Concurrency,
    DelayNode,
    Retry,
    StartChildNode,
    TaskNode,
)
from sayiir_es.engine.attempts.task_context import get_task_context
from tests import random_programs as programs

if TYPE_CHECKING:
    from sayiir_es.core.graph.nodes import Node
    from tests.random_programs import Leaf, Witness

CHILD = "kid"
"""The name of the workflow of every child."""

LIMITS = (Concurrency(key="till", limit=1), Concurrency(key="scales", limit=2))

LOOP_END_MS = 5
"""A delay of this length may be the end of a loop, which no child may be."""

CHILD_GRAPH = Graph(
    name=CHILD,
    chain=(
        DelayNode(id="nap", duration_ms=200),
        TaskNode(
            id="echo",
            retry=Retry(max_retries=programs.RETRIES, initial_delay_ms=50),
        ),
    ),
)


def with_remote_tasks(graph: Graph) -> Graph:
    """The graph, with about half of its tasks for executors elsewhere only."""
    own = Random(f"remote {graph.digest}")  # noqa: S311 (a simulation's)

    def changed(node: Leaf) -> Node:
        if isinstance(node, TaskNode) and own.random() < 0.5:
            return replace(node, execute="remote")
        return node

    return replace(graph, chain=programs.map_leaves(changed, graph.chain))


def with_limits(graph: Graph) -> Graph:
    """The graph, with about half of its tasks under one of two limits."""
    own = Random(f"limits {graph.digest}")  # noqa: S311 (a simulation's)

    def changed(node: Leaf) -> Node:
        if isinstance(node, TaskNode) and own.random() < 0.5:
            return replace(node, concurrency=own.choice(LIMITS))
        return node

    return replace(graph, chain=programs.map_leaves(changed, graph.chain))


def with_children(graph: Graph) -> Graph:
    """The graph, with a child at its end and for about half of its delays."""
    own = Random(f"children {graph.digest}")  # noqa: S311 (a simulation's)

    def changed(node: Leaf) -> Node:
        is_delay = isinstance(node, DelayNode) and node.duration_ms != LOOP_END_MS
        return child(node.id) if is_delay and own.random() < 0.5 else node

    def child(name: str) -> StartChildNode:
        return StartChildNode(
            id=name,
            workflow=CHILD,
            on_parent_end="cancel" if own.random() < 0.5 else "leave",
        )

    chain = programs.map_leaves(changed, graph.chain)
    return replace(graph, chain=(*chain, child("last")))


def child_workflow(witness: Witness) -> Workflow:
    """The workflow of every child: sleeps, and gives what it was given."""

    async def echo(value: object) -> object:
        context = get_task_context()
        assert context is not None
        await asyncio.sleep(witness.begins(context))
        if witness.fails(context):
            raise ValueError("as it may")
        return value

    return Workflow(graph=CHILD_GRAPH, functions={"echo": echo})
