"""Random programs of every construct, nested, with a model that predicts their output.

The model walks the graph with plain recursion and knows nothing of events, cursors or
decisions. Data are JSON strings: a task's output is a digest of its id and its input.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from sayiir_es.core.graph.graph import Graph, inner_chains
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
from sayiir_es.core.model.commands import Command, SendSignal
from tests.core.instance_runner import InstanceRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPTH_MAX = 3


@dataclass(frozen=True)
class Program:
    """A graph, and the signals that its waits get."""

    graph: Graph
    commands: tuple[Command, ...]


def digest(name: str, data: bytes) -> bytes:
    """What a task of that id makes of its input."""
    return b'"%s"' % hashlib.sha256(name.encode() + data).hexdigest()[:8].encode()


def key_for(node: RouteNode, data: bytes) -> str:
    """The key that a route's function returns."""
    options = [*node.keys, "other"] if node.default is not None else list(node.keys)
    return options[hashlib.sha256(data).digest()[0] % len(options)]


def turns(node_id: str) -> int:
    """How many iterations a loop's body wants, by the id of what ends it."""
    return 1 + int(node_id.rpartition("-")[2])


# --- drawing --------------------------------------------------------------------------


@st.composite
def programs(draw: st.DrawFn, most: int = 12) -> Program:
    """A program of about `most` nodes."""
    names = iter(f"n{number}" for number in range(10_000))
    chain = draw(chains(names, 0, most, in_loop=False))
    graph = Graph(name="w", chain=chain)
    signals = tuple(
        SendSignal(
            instance_id="i",
            command_id="",
            signal=place.node.signal,
            payload=b'"%s!"' % place.node.signal.encode(),
        )
        for place in graph.places.values()
        if isinstance(place.node, SignalNode) and place.node.timeout_ms is None
    )
    start: tuple[Command, ...] = (InstanceRunner.start_command("w", b'"in"'),)
    before = draw(st.booleans())
    return Program(graph, signals + start if before else start + signals)


@st.composite
def chains(
    draw: st.DrawFn, names: Iterator[str], depth: int, most: int, *, in_loop: bool
) -> tuple[Node, ...]:
    """A chain of nodes of any kind."""
    chain: list[Node] = []
    for _ in range(draw(st.integers(1, max(1, min(4, most))))):
        kinds = ["task", "task", "retried", "delay", "signal"]
        if depth < DEPTH_MAX and most > 3:
            kinds += ["fork", "route", "loop", "child"]
        kind = draw(st.sampled_from(kinds))
        chain += draw(nodes(names, depth, kind, most, in_loop=in_loop))
    return tuple(chain)


@st.composite
def nodes(
    draw: st.DrawFn,
    names: Iterator[str],
    depth: int,
    kind: str,
    most: int,
    *,
    in_loop: bool,
) -> list[Node]:
    """One node, or a fork with its join."""
    name = next(names)

    def inner(*, loop: bool = in_loop) -> tuple[Node, ...]:
        return draw(chains(names, depth + 1, most // 3, in_loop=loop))

    if kind == "delay":
        return [DelayNode(id=name, duration_ms=draw(st.integers(0, 900)))]
    if kind == "signal":
        timed = in_loop or draw(st.booleans())
        limit = draw(st.integers(1, 900)) if timed else None
        return [SignalNode(id=name, signal=name, timeout_ms=limit)]
    if kind == "fork":
        count = draw(st.integers(1, 3))
        branches = tuple(
            Branch(name=draw(st.sampled_from(["x", "y", f"b{number}"])), chain=inner())
            for number in range(count)
        )
        return [ForkNode(id=name, branches=branches), TaskNode(id=next(names))]
    if kind == "route":
        keys = tuple(draw(st.lists(st.sampled_from("abc"), min_size=1, unique=True)))
        branches = tuple(Branch(name=key, chain=inner()) for key in keys)
        default = inner() if draw(st.booleans()) else None
        return [RouteNode(id=name, keys=keys, branches=branches, default=default)]
    if kind == "loop":
        most_turns = draw(st.integers(1, 4))
        last = TaskNode(id=f"{next(names)}-{draw(st.integers(0, most_turns - 1))}")
        body = (*inner(loop=True), last)
        if draw(st.booleans()):
            body = (*body, DelayNode(id=next(names), duration_ms=5))
        return [LoopNode(id=name, body=body, max_iterations=most_turns)]
    if kind == "child":
        return [ChildNode(id=name, workflow="c", chain=inner())]
    retry = Retry(max_retries=2, initial_delay_ms=50) if kind == "retried" else None
    timeout = draw(st.sampled_from([None, 90_000]))
    return [TaskNode(id=name, retry=retry, timeout_ms=timeout)]


# --- the model ------------------------------------------------------------------------


def output_of(program: Program) -> bytes:
    """What the program gives."""
    return model(program.graph.chain, b'"in"')


def model(chain: tuple[Node, ...], data: bytes) -> bytes:
    """What a chain makes of its input."""
    for node in chain:
        match node:
            case TaskNode():
                data = digest(node.id, data)
            case SignalNode():
                waits = node.timeout_ms is not None
                data = b"null" if waits else b'"%s!"' % node.signal.encode()
            case ForkNode():
                parts = [
                    json.dumps(segment).encode() + b":" + model(inner, data)
                    for segment, inner in inner_chains(node)
                ]
                data = b"{" + b",".join(parts) + b"}"
            case RouteNode():
                data = _route(node, data)
            case LoopNode():
                count = turns([n for n in node.body if isinstance(n, TaskNode)][-1].id)
                for _ in range(count):
                    data = model(node.body, data)
            case ChildNode():
                data = model(node.chain, data)
            case DelayNode():
                pass
    return data


def _route(node: RouteNode, data: bytes) -> bytes:
    key = key_for(node, data)
    taken = next((b.chain for b in node.branches if b.name == key), node.default)
    assert taken is not None
    result = model(taken, data)
    return b'{"branch":' + json.dumps(key).encode() + b',"result":' + result + b"}"
