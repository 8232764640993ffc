"""What there is to run at a path, by the graph alone: for executors elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.graph.nodes import RouteNode, TaskNode

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.graph.nodes import Node

KEY_SUFFIX = "::key_fn"
"""What the id of a route's key function ends with."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """A task at a place of a graph, or the key function of a route."""

    graph: Graph
    node: TaskNode
    ends_loop: bool

    @property
    def is_key(self) -> bool:
        """Whether it is the key function of a route."""
        return self.node.id.endswith(KEY_SUFFIX)

    @property
    def name(self) -> str:
        """`workflow/task_id`, as executors name what they can run."""
        return f"{self.graph.name}/{self.node.id}"


def find_job(graph: Graph, path: str) -> Job | None:
    """What an attempt at a path runs; None where none is made."""
    place = graph.place(path)
    if place is None:
        return None
    node = place.node
    if isinstance(node, RouteNode):
        node = TaskNode(id=node.id + KEY_SUFFIX)
    if not isinstance(node, TaskNode):
        return None
    return Job(graph=graph, node=node, ends_loop=place.ends_loop)


def is_remote(node: Node) -> bool:
    """Whether none but executors elsewhere run a node."""
    return isinstance(node, TaskNode) and node.execute == "remote"
