"""Who surely takes a task's result: the tasks that are given it as their input.

What goes through a join, a route's envelope, a signal's wait or a loop's verdict is not
looked at: something else decides there what the next task is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sayiir_es.core.authoring.hints import PLAIN, task_hints
from sayiir_es.core.graph.graph import first_path, inner_chains
from sayiir_es.core.graph.nodes import (
    ChildNode,
    DelayNode,
    ForkNode,
    LoopNode,
    RouteNode,
    TaskNode,
)
from sayiir_es.core.graph.paths import join

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sayiir_es.core.authoring.steps import Function
    from sayiir_es.core.graph.graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Taker:
    """A task that is given a result, and the type that it asks for."""

    task_id: str
    hint: Any


def takers_of(
    graph: Graph, functions: Mapping[str, Function], path: str
) -> tuple[Taker, ...]:
    """Whose parameter has a type of those that get what the task at `path` returns.

    `path` is a template.
    """
    place = graph.places.get(path)
    if place is None or place.ends_loop or not isinstance(place.node, TaskNode):
        return ()
    takers: list[Taker] = []
    for taker in _behind(graph, path):
        function = functions.get(taker)
        hint = PLAIN if function is None else task_hints(function).first
        if hint is not PLAIN:
            takers.append(Taker(task_id=graph.places[taker].node.id, hint=hint))
    return tuple(takers)


def _behind(graph: Graph, path: str) -> Iterator[str]:
    """Who is given what flows out of the node at `path`."""
    place = graph.places[path]
    if place.successor is not None:
        yield from _at(graph, place.successor)
        return
    around = graph.places.get(place.container or "")
    if around is not None and isinstance(around.node, ChildNode):
        yield from _behind(graph, around.path)


def _at(graph: Graph, path: str) -> Iterator[str]:
    """Who is given what flows into the node at `path`."""
    node = graph.places[path].node
    match node:
        case TaskNode() | RouteNode():
            yield path
        case DelayNode():
            yield from _behind(graph, path)
        case ForkNode() | LoopNode() | ChildNode():
            for segment, chain in inner_chains(node):
                yield from _at(graph, first_path(join(path, segment), chain))
        case _:
            return
