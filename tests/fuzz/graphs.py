"""Graphs with every node and every option, as the definitions topic holds them."""

from __future__ import annotations

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

_TASK = TaskNode(
    id="charge",
    timeout_ms=2_000,
    retry=Retry(
        max_retries=3,
        initial_delay_ms=100,
        backoff_multiplier=2.5,
        max_delay_ms=10_000,
        jitter=0.5,
    ),
    version="2",
    priority=5,
    tags=("gpu", "é"),
)

_CHAIN: tuple[Node, ...] = (
    _TASK,
    DelayNode(id="wait", duration_ms=30_000),
    SignalNode(id="ok", signal="approval", timeout_ms=5, on_timeout="fail"),
    ForkNode(
        id="eu||us",
        branches=(
            Branch(name="eu", chain=(TaskNode(id="tax"),)),
            Branch(name="us", chain=(DelayNode(id="d", duration_ms=1), _TASK)),
        ),
    ),
    RouteNode(
        id="route_0",
        keys=("a", "b"),
        branches=(
            Branch(name="a", chain=(TaskNode(id="x"),)),
            Branch(name="b", chain=(SignalNode(id="y", signal="s"),)),
        ),
        default=(TaskNode(id="z"),),
    ),
    LoopNode(
        id="loop_0",
        body=(TaskNode(id="turn"),),
        max_iterations=5,
        on_max="exit_with_last",
    ),
    ChildNode(id="child_0", workflow="other", chain=(TaskNode(id="inner"),)),
)

GRAPHS: tuple[Graph, ...] = (
    Graph(name="orders", metadata='{"team":"a"}', chain=_CHAIN),
    Graph(name="one", chain=(TaskNode(id="only"),)),
    *(Graph(name=f"node {node.id}", chain=(node,)) for node in _CHAIN),
    Graph(
        name="long",  # gzipped
        chain=tuple(TaskNode(id=f"task-{number}") for number in range(1_500)),
    ),
)
