"""Nodes of a workflow as text: what each is, and the options that its author chose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

from sayiir_es.core.graph.nodes import (
    ChildNode,
    DelayNode,
    ForkNode,
    LoopNode,
    Node,
    RouteNode,
    SignalNode,
    StartChildNode,
    TaskNode,
    TryNode,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sayiir_es.core.graph.graph import Graph

Kind: TypeAlias = Literal[
    "task", "join", "delay", "signal", "fork", "route", "loop", "child", "try"
]

_UNITS = ((3_600_000, "h"), (60_000, "m"), (1_000, "s"))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeText:
    """A node as people read it; `title` is its id, or its kind if that is made up."""

    kind: Kind
    title: str
    options: tuple[str, ...]


def text_of(node: Node, *, is_join: bool) -> NodeText:
    """What a node is called, and what was chosen for it."""
    match node:
        case TaskNode():
            kind: Kind = "join" if is_join else "task"
            return NodeText(kind=kind, title=node.id, options=tuple(_of_task(node)))
        case DelayNode():
            option = f"delay of {duration_text(node.duration_ms)}"
            return NodeText(kind="delay", title=node.id, options=(option,))
        case SignalNode():
            return NodeText(
                kind="signal", title=node.id, options=tuple(_of_signal(node))
            )
        case ForkNode():
            option = f"{len(node.branches)} side by side"
            return NodeText(kind="fork", title="fork", options=(option,))
        case RouteNode():
            return NodeText(
                kind="route", title=f"route {node.id}", options=("one of them",)
            )
        case LoopNode():
            then = "fails" if node.on_max == "fail" else "goes on"
            option = f"at most {node.max_iterations} times, then {then}"
            return NodeText(kind="loop", title="loop", options=(option,))
        case ChildNode():
            return NodeText(kind="child", title=f"child {node.workflow}", options=())
        case StartChildNode():
            return NodeText(
                kind="child",
                title=f"start {node.workflow}",
                options=tuple(_of_start(node)),
            )
        case TryNode():
            names = [name.removeprefix("builtins.") for name in node.errors]
            option = f"catches {', '.join(names) or 'every error'}"
            return NodeText(kind="try", title="attempt", options=(option,))
        case _:
            assert_never(node)


def text_by_path(graph: Graph) -> Mapping[str, NodeText]:
    """Every node in graph order, by its path."""
    return {
        place.path: text_of(place.node, is_join=place.joined is not None)
        for place in graph.places.values()
    }


def duration_text(duration_ms: int) -> str:
    """A duration as flows write it, such as `48h`, in the largest unit that fits."""
    for size, unit in _UNITS:
        if duration_ms and duration_ms % size == 0:
            return f"{duration_ms // size}{unit}"
    return f"{duration_ms}ms"


def _of_task(node: TaskNode) -> Iterator[str]:
    if node.timeout_ms is not None:
        yield f"timeout {duration_text(node.timeout_ms)}"
    if node.retry is not None and node.retry.max_retries:
        word = "retry" if node.retry.max_retries == 1 else "retries"
        delay = duration_text(node.retry.initial_delay_ms)
        yield f"{node.retry.max_retries} {word} from {delay}"
    if node.priority is not None:
        yield f"priority {node.priority}"
    if node.tags:
        yield f"tags {', '.join(node.tags)}"
    if node.version is not None:
        yield f"version {node.version}"
    if node.compensate is not None:
        yield f"undone by {node.compensate.id}"


def _of_signal(node: SignalNode) -> Iterator[str]:
    name = "" if node.signal == node.id else f" {node.signal!r}"
    yield f"waits for signal{name}"
    if node.timeout_ms is not None:
        then = "fails" if node.on_timeout == "fail" else "null"
        yield f"{duration_text(node.timeout_ms)}, then {then}"
    if node.keep_input:
        yield "keeps its input"


def _of_start(node: StartChildNode) -> Iterator[str]:
    yield "waits for its end" if node.waits else "goes on at once"
    if node.version is not None:
        yield f"version {node.version}"
    if node.on_parent_end == "leave":
        yield "left running"
