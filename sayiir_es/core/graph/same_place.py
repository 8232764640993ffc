"""Where a path of a run's graph stands in another graph of the same workflow.

A run goes on with the graph that it began with. Its code is that of another graph where
that has a node of the same kind at the same path. A task that ends a loop's body
returns something else than one that does not, and a join is given something else than a
task: for their code these are kinds of their own. So is what undoes a task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
from sayiir_es.core.graph.paths import is_compensation

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph, Place

_WORDS: dict[type[Node], str] = {
    TaskNode: "a task",
    DelayNode: "a delay",
    SignalNode: "a wait for a signal",
    ForkNode: "a fork",
    RouteNode: "a route",
    LoopNode: "a loop",
    ChildNode: "a child",
    StartChildNode: "a start of a child",
    TryNode: "a try",
}


def kind_of(place: Place | None) -> str:
    """What stands at a place, in words: its kind."""
    if place is None:
        return "nothing"
    if is_compensation(place.path):
        return "a compensation"
    if place.joined is not None:
        return "a join that ends a loop's body" if place.ends_loop else "a join"
    if place.ends_loop and isinstance(place.node, TaskNode):
        return "a task that ends a loop's body"
    return _WORDS[type(place.node)]


def same_place(graph: Graph, path: str, other: Graph) -> Place | None:
    """The place in `other` of the node that `graph` has at a path; None if none."""
    place = graph.place(path)
    there = None if place is None else other.place(place.path)
    return there if there is not None and kind_of(place) == kind_of(there) else None
