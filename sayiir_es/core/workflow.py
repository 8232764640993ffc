"""`Workflow`: a graph and the functions that run at its nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from sayiir_es.core.definition import inner_chains
from sayiir_es.core.graph import (
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

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sayiir_es.core.definition import Graph
    from sayiir_es.core.steps import Function


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInfo:
    """A node of a workflow, for people and tools.

    Attributes:
        id: Its id.
        kind: `task`, `fork`, `delay`, `await_signal`, `branch`, `loop` or
            `child_workflow`.
        predecessor_id: The node before it, or around it where it is the first.
        timeout_secs: Of a task or wait; of a delay its length. In seconds.
        retry_policy: Of a task.
        priority: Of a task.
    """

    id: str
    kind: str
    predecessor_id: str | None = None
    timeout_secs: float | None = None
    retry_policy: Retry | None = None
    priority: int | None = None


class Workflow:
    """What `Flow.build` gives: start it, or hand it to a worker."""

    def __init__(
        self,
        *,
        graph: Graph,
        functions: Mapping[str, Function],
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        self.graph = graph
        self.functions = functions
        """Path template → function; a route's key function at the route's own path."""
        self.metadata = metadata

    @property
    def workflow_id(self) -> str:
        """The workflow's name."""
        return self.graph.name

    @property
    def definition_hash(self) -> str:
        """What names its exact shape: 64 hex digits."""
        return self.graph.definition_hash

    def iter_nodes(self) -> list[NodeInfo]:
        """Every node, a container before what is in it."""
        return list(_infos(self.graph.chain, None))

    @property
    def _task_registry(self) -> dict[str, Function]:
        """Id → function, as Sayiir keeps it; of equal ids the first."""
        found: dict[str, Function] = {}
        for path, function in self.functions.items():
            place = self.graph.place(path)
            if place is None:
                continue
            key_fn = "::key_fn" if isinstance(place.node, RouteNode) else ""
            found.setdefault(place.node.id + key_fn, function)
        return found

    @property
    def _inner(self) -> Workflow:
        """Itself: Sayiir's engines take a native object under this name."""
        return self

    def __repr__(self) -> str:
        return f"Workflow({self.workflow_id!r}, {self.definition_hash[:12]})"


def _infos(chain: tuple[Node, ...], before: str | None) -> Iterator[NodeInfo]:
    for node in chain:
        yield _info(node, before)
        for _, inner in inner_chains(node):
            yield from _infos(inner, node.id)
        before = node.id


def _info(node: Node, before: str | None) -> NodeInfo:
    match node:
        case TaskNode():
            return NodeInfo(
                id=node.id,
                kind="task",
                predecessor_id=before,
                timeout_secs=_seconds(node.timeout_ms),
                retry_policy=node.retry,
                priority=node.priority,
            )
        case DelayNode():
            return NodeInfo(
                id=node.id,
                kind="delay",
                predecessor_id=before,
                timeout_secs=_seconds(node.duration_ms),
            )
        case SignalNode():
            return NodeInfo(
                id=node.id,
                kind="await_signal",
                predecessor_id=before,
                timeout_secs=_seconds(node.timeout_ms),
            )
        case ForkNode():
            return NodeInfo(id=node.id, kind="fork", predecessor_id=before)
        case RouteNode():
            return NodeInfo(id=node.id, kind="branch", predecessor_id=before)
        case LoopNode():
            return NodeInfo(id=node.id, kind="loop", predecessor_id=before)
        case ChildNode():
            return NodeInfo(id=node.id, kind="child_workflow", predecessor_id=before)
        case _:
            assert_never(node)


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000
