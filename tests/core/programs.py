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

from sayiir_es.core.graph.graph import Graph, inner_chains, segments
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
from sayiir_es.core.graph.paths import (
    BODY,
    DEFAULT_BRANCH,
    ON_ERROR,
    encode_segment,
    join,
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


FAILURE = ("ValueError", "ValueError: no")
"""What a task that always fails raises: its type, and its text."""

BASES = ("builtins.ValueError", "builtins.Exception")

WANTED: tuple[tuple[str, ...], ...] = (
    (),
    ("builtins.ValueError",),
    ("timeout", "builtins.Exception"),
)
"""Errors of which each includes that one."""

SHAPES = ("behind", "beside", "deeper")


def failing_body(
    shape: str, inner: tuple[Node, ...], names: Iterator[str]
) -> tuple[Node, ...]:
    """A body that fails at one place: behind, beside or inside of a chain."""
    fails = TaskNode(id=f"fails-{next(names)}")
    if shape == "beside":
        branches = (Branch(name="x", chain=inner), Branch(name="y", chain=(fails,)))
        return (ForkNode(id=next(names), branches=branches), TaskNode(id=next(names)))
    if shape == "deeper":  # through a try that does not want it, in a child
        passed = TryNode(
            id=next(names),
            body=(ChildNode(id=next(names), workflow="c", chain=(*inner, fails)),),
            handler=(TaskNode(id=next(names)),),
            errors=("timeout", "builtins.KeyError"),
        )
        return (passed,)
    return (*inner, fails)


def always_fails(node: Node) -> bool:
    """Whether the model has a node fail."""
    return node.id.startswith("fails-")


class NodeFailedError(Exception):
    """The model says that the node at a path fails."""

    def __init__(self, node_id: str, path: str) -> None:
        self.error = {
            "type": FAILURE[0],
            "message": "no",
            "task": node_id,
            "path": path,
        }


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
            kinds += ["fork", "route", "loop", "child", "try"]
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
        keeps = draw(st.booleans())
        return [SignalNode(id=name, signal=name, timeout_ms=limit, keep_input=keeps)]
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
        body = (*inner(loop=True), *draw(loop_ends(names, most_turns)))
        return [LoopNode(id=name, body=body, max_iterations=most_turns)]
    if kind == "child":
        return [ChildNode(id=name, workflow="c", chain=inner())]
    if kind == "try":
        body = inner()
        if draw(st.booleans()):
            body = failing_body(draw(st.sampled_from(SHAPES)), body, names)
        errors = draw(st.sampled_from(WANTED))
        return [TryNode(id=name, body=body, handler=inner(), errors=errors)]
    retry = Retry(max_retries=2, initial_delay_ms=50) if kind == "retried" else None
    timeout = draw(st.sampled_from([None, 90_000]))
    return [TaskNode(id=name, retry=retry, timeout_ms=timeout)]


@st.composite
def loop_ends(
    draw: st.DrawFn, names: Iterator[str], most_turns: int
) -> tuple[Node, ...]:
    """What ends a loop's body: a task that says so, and what passes that on."""
    end: list[Node] = [
        TaskNode(id=f"{next(names)}-{draw(st.integers(0, most_turns - 1))}")
    ]
    if draw(st.booleans()):
        end.append(DelayNode(id=next(names), duration_ms=5))
    if draw(st.booleans()):
        kept = next(names)
        end.append(SignalNode(id=kept, signal=kept, timeout_ms=5, keep_input=True))
    return tuple(end)


# --- the model ------------------------------------------------------------------------


def output_of(program: Program) -> bytes:
    """What the program gives."""
    return model(program.graph.chain, b'"in"')


def model(chain: tuple[Node, ...], data: bytes, prefix: str = "") -> bytes:
    """What a chain makes of its input; `prefix` is its path.

    Raises:
        NodeFailedError: if a node of it fails.
    """
    for node, segment in zip(chain, segments(chain), strict=True):
        path = join(prefix, segment)
        match node:
            case TaskNode():
                if always_fails(node):
                    raise NodeFailedError(node.id, path)
                data = digest(node.id, data)
            case SignalNode():
                data = _value_of_wait(node, data)
            case DelayNode() | StartChildNode():
                pass
            case _:
                data = _container(node, data, path)
    return data


def _container(
    node: ForkNode | RouteNode | LoopNode | ChildNode | TryNode, data: bytes, path: str
) -> bytes:
    match node:
        case ForkNode():
            parts = [
                json.dumps(key).encode() + b":" + model(inner, data, join(path, key))
                for key, inner in inner_chains(node)
            ]
            return b"{" + b",".join(parts) + b"}"
        case RouteNode():
            return _route(node, data, path)
        case LoopNode():
            count = turns([n for n in node.body if isinstance(n, TaskNode)][-1].id)
            for iteration in range(count):
                data = model(node.body, data, f"{path}@{iteration}")
            return data
        case ChildNode():
            return model(node.chain, data, path)
        case TryNode():
            return _try(node, data, path)


def _value_of_wait(node: SignalNode, data: bytes) -> bytes:
    if node.keep_input:
        return data
    return b"null" if node.timeout_ms is not None else b'"%s!"' % node.signal.encode()


def _try(node: TryNode, data: bytes, path: str) -> bytes:
    try:
        return model(node.body, data, join(path, BODY))
    except NodeFailedError as failed:
        if node.errors and node.errors not in WANTED:
            raise
        error = json.dumps(failed.error, separators=(",", ":"), ensure_ascii=False)
    caught = b'{"error":' + error.encode() + b',"input":' + data + b"}"
    return model(node.handler, caught, join(path, ON_ERROR))


def _route(node: RouteNode, data: bytes, path: str) -> bytes:
    key = key_for(node, data)
    taken = next((b.chain for b in node.branches if b.name == key), node.default)
    assert taken is not None
    is_default = all(branch.name != key for branch in node.branches)
    branch = DEFAULT_BRANCH if is_default else encode_segment(key)
    result = model(taken, data, join(path, branch))
    return b'{"branch":' + json.dumps(key).encode() + b',"result":' + result + b"}"
