"""The definitions of this process: published graphs, and the functions that it has.

Deciding needs the graph only, so every graph of the definitions topic is held here.
Running needs the function: it is looked up by (graph digest, path) among the workflows
that this process registered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sayiir_es.core.graph.nodes import RouteNode, TaskNode
from sayiir_es.core.graph.paths import template
from sayiir_es.core.graph.record import graph_of_record
from sayiir_es.engine.definitions.capabilities import Capabilities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sayiir_es.core.authoring.flow import Workflow
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.engine.definitions.capabilities import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Runnable:
    """What is needed to run the node at a path: a task, or the key of a route."""

    graph: Graph
    node: TaskNode
    function: Callable[..., object]
    ends_loop: bool


def _no_watchers() -> set[Callable[[], None]]:
    return set()


@dataclass(slots=True)
class Registry:
    """Graphs by name and digest, functions by digest and path.

    With `tags` this process runs only tasks whose tags are all among them; with None it
    runs tasks of any tags.
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
    _watchers: set[Callable[[], None]] = field(default_factory=_no_watchers)

    def register(self, workflow: Workflow) -> None:
        """Add a workflow whose code this process has; starts by name take its graph."""
        graph = workflow.graph
        is_new = graph.digest not in self._workflows
        self._graphs[graph.digest] = graph
        self._own[graph.name] = graph
        self._workflows[graph.digest] = workflow
        self._runnable.clear()
        if is_new:
            for notify in tuple(self._watchers):
                notify()

    def watch(self, notify: Callable[[], None]) -> None:
        """From now on, call `notify` when code comes that this process did not have."""
        self._watchers.add(notify)

    def unwatch(self, notify: Callable[[], None]) -> None:
        """Call `notify` no more."""
        self._watchers.discard(notify)

    def publish(self, value: bytes) -> Graph:
        """Add the graph in the value of a record of the definitions topic.

        Raises:
            DecodeError: if there is no graph in it.
        """
        graph = graph_of_record(value)
        registered = self._graphs.setdefault(graph.digest, graph)
        self._latest[registered.name] = registered
        return registered

    def by_name(self, workflow: str, definition_hash: str | None) -> Graph | None:
        """The graph that a start takes; None if there is none.

        With a definition hash it has that hash. Else it is the one that this process
        registered, else the latest published one.
        """
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

    def is_latest(self, graph: Graph) -> bool:
        """Whether no other graph of its name was published behind it."""
        latest = self._latest.get(graph.name)
        return latest is not None and latest.digest == graph.digest

    def by_digest(self, graph_digest: str) -> Graph | None:
        """The graph of that digest, or None."""
        return self._graphs.get(graph_digest)

    def by_hash(self, definition_hash: str) -> Graph | None:
        """Any graph of that definition hash, or None."""
        for graph in self._graphs.values():
            if graph.definition_hash == definition_hash:
                return graph
        return None

    def runnable(self, graph_digest: str, path: str) -> Runnable | None:
        """How to run the node at a path; None without its code, or its tags."""
        key = (graph_digest, template(path))
        try:
            return self._runnable[key]
        except KeyError:
            runnable = self._runnable[key] = self._look_up(*key)
            return runnable

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
        """The registered workflow of a graph, or None."""
        return self._workflows.get(graph_digest)

    def get_own_capabilities(self, refusals: Mapping[int, Refusal]) -> Capabilities:
        """What this process can run, and what it refuses."""
        return Capabilities(
            graphs=frozenset(self._workflows), tags=self.tags, refusals=refusals
        )

    def set_capabilities(
        self, owner_id: str, capabilities: Capabilities | None
    ) -> None:
        """Set what a worker can run, as the topic says; None: it has left."""
        if capabilities is None:
            self._workers.pop(owner_id, None)
        else:
            self._workers[owner_id] = capabilities

    def knows(self, owner_id: str, graph_digest: str) -> bool:
        """Whether both that graph and the capabilities of that worker are here."""
        return graph_digest in self._graphs and owner_id in self._workers

    def announced(self) -> frozenset[str]:
        """The owner ids of the workers whose capabilities are here."""
        return frozenset(self._workers)

    def get_capabilities(self, owner_id: str) -> Capabilities | None:
        """What that worker can run, as far as the topic was read; None: unknown."""
        return self._workers.get(owner_id)

    def workers(self) -> Mapping[str, Capabilities]:
        """What every worker announces, by owner id, as far as the topic was read."""
        return self._workers

    def graphs(self) -> Iterator[Graph]:
        """Every graph."""
        return iter(tuple(self._graphs.values()))
