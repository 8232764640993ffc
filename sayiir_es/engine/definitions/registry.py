"""The definitions that this process knows: published graphs, and functions it has.

Deciding needs the graph only, so every graph that stands on the definitions topic is
known here. Running needs the function: it is looked up by (graph digest, path) among
the workflows that this process registered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sayiir_es.core.graph.nodes import RouteNode, TaskNode
from sayiir_es.core.graph.paths import template
from sayiir_es.core.graph.record import graph_of_record
from sayiir_es.engine.definitions.capabilities import Capabilities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sayiir_es.core.authoring.flow import Workflow
    from sayiir_es.core.graph.graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Runnable:
    """What it takes to run the node at a path; `node` says how a key is computed."""

    graph: Graph
    node: TaskNode
    function: Callable[..., object]
    ends_loop: bool


@dataclass(slots=True)
class Registry:
    """Graphs by name and digest, functions by digest and path.

    With `tags` this process runs only tasks whose tags are all among them; without it
    runs all.
    """

    tags: frozenset[str] | None = None
    _graphs: dict[str, Graph] = field(default_factory=dict[str, "Graph"])
    _latest: dict[str, Graph] = field(default_factory=dict[str, "Graph"])
    _own: dict[str, Graph] = field(default_factory=dict[str, "Graph"])
    _workflows: dict[str, Workflow] = field(default_factory=dict[str, "Workflow"])
    _runnable: dict[tuple[str, str], Runnable | None] = field(
        default_factory=dict[tuple[str, str], "Runnable | None"]
    )
    _workers: dict[str, Capabilities] = field(default_factory=dict[str, "Capabilities"])

    def register(self, workflow: Workflow) -> None:
        """This process has the code of `workflow`; a start by name takes this graph."""
        graph = workflow.graph
        self._graphs[graph.digest] = graph
        self._own[graph.name] = graph
        self._workflows[graph.digest] = workflow
        self._runnable.clear()

    def publish(self, value: bytes) -> Graph:
        """Take over the graph of a record of the definitions topic.

        Raises:
            DecodeError: if there is no graph in it.
        """
        graph = graph_of_record(value)
        known = self._graphs.setdefault(graph.digest, graph)
        self._latest[known.name] = known
        return known

    def by_name(self, workflow: str, definition_hash: str | None) -> Graph | None:
        """The graph to start: of that hash if given, else own, else the latest."""
        own = self._own.get(workflow)
        if definition_hash is None:
            return own or self._latest.get(workflow)
        if own is not None and own.definition_hash == definition_hash:
            return own
        latest = self._latest.get(workflow)
        if latest is not None and latest.definition_hash == definition_hash:
            return latest
        for graph in self._graphs.values():
            if graph.name == workflow and graph.definition_hash == definition_hash:
                return graph
        return None

    def by_digest(self, graph_digest: str) -> Graph | None:
        """The graph that a run was started with."""
        return self._graphs.get(graph_digest)

    def by_hash(self, definition_hash: str) -> Graph | None:
        """Any graph of that definition hash."""
        for graph in self._graphs.values():
            if graph.definition_hash == definition_hash:
                return graph
        return None

    def runnable(self, graph_digest: str, path: str) -> Runnable | None:
        """How to run the node at a path; None without its code here, or its tags."""
        key = (graph_digest, template(path))
        try:
            return self._runnable[key]
        except KeyError:
            found = self._runnable[key] = self._look_up(*key)
            return found

    def _look_up(self, graph_digest: str, path: str) -> Runnable | None:
        workflow = self._workflows.get(graph_digest)
        if workflow is None:
            return None
        place, function = workflow.graph.place(path), workflow.functions.get(path)
        if place is None or function is None:
            return None
        node = place.node
        if isinstance(node, RouteNode):
            node = TaskNode(id=f"{node.id}::key_fn")
        elif not isinstance(node, TaskNode) or (
            self.tags is not None and not self.tags.issuperset(node.tags)
        ):
            return None
        return Runnable(
            graph=workflow.graph,
            node=node,
            function=function,
            ends_loop=place.ends_loop,
        )

    def workflow(self, graph_digest: str) -> Workflow | None:
        """The registered workflow of a graph."""
        return self._workflows.get(graph_digest)

    def announcement(self) -> Capabilities:
        """What this process can run."""
        return Capabilities(graphs=frozenset(self._workflows), tags=self.tags)

    def announced(self, owner_id: str, said: Capabilities | None) -> None:
        """A worker said what it can run; None: it left."""
        if said is None:
            self._workers.pop(owner_id, None)
        else:
            self._workers[owner_id] = said

    def knows(self, owner_id: str, graph_digest: str) -> bool:
        """Whether both a graph and what that worker announced are known."""
        return graph_digest in self._graphs and owner_id in self._workers

    def said(self, owner_id: str) -> Capabilities | None:
        """What that worker announced, as far as this process has read."""
        return self._workers.get(owner_id)

    def graphs(self) -> Iterator[Graph]:
        """Every graph known."""
        return iter(tuple(self._graphs.values()))
