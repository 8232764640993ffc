"""A graph prepared for checking: what may open and what ends, by concrete path.

Theory of operation. A run is checked against what the graph allows next: when a node
has ended, the next path of its chain may open; when a container has opened, the first
path of each of its chains may. All of that follows from templates and is worked out
once for a graph; a concrete path only adds its iterations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.graph.graph import inner_chains, segments
from sayiir_es.core.graph.nodes import ForkNode, LoopNode, TaskNode
from sayiir_es.core.graph.paths import join, template

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph, Place
    from sayiir_es.core.graph.nodes import Node


class GraphModel:
    """One graph, as the rules ask for it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.digest = graph.digest
        self.workflow = graph.name
        self.definition_hash = graph.definition_hash
        self.version = graph.version
        self.first = graph.first
        self.timeout_ms = graph.timeout_ms
        self._firsts: dict[str, dict[str, str]] = {}

    def place(self, path: str) -> Place | None:
        """The place of a node; None where the graph has none."""
        return self.graph.place(path)

    def node(self, path: str) -> Node | None:
        """The node at a path."""
        place = self.graph.place(path)
        return None if place is None else place.node

    def firsts(self, path: str) -> dict[str, str]:
        """Of a container: the first segment of each chain, by the chain's segment."""
        key = template(path)
        first_segments = self._firsts.get(key)
        if first_segments is None:
            node = self.node(path)
            assert node is not None
            first_segments = {
                name: segments(chain)[0] for name, chain in inner_chains(node)
            }
            self._firsts[key] = first_segments
        return first_segments

    def successor(self, path: str) -> str | None:
        """The next path of the same chain."""
        return self.graph.successor(path)

    def predecessor(self, path: str) -> str | None:
        """The node before a path in its chain, in the same iterations; None: none."""
        for one in self._chain(path.rpartition("/")[0]):
            if self.successor(one) == path:
                return one
        return None

    def first_of(self, chain: str) -> str | None:
        """The first path of a chain, by the chain's own path."""
        return next(iter(self._chain(chain)), None)

    def last_of(self, chain: str) -> str | None:
        """The last path of a chain, by the chain's own path."""
        return next(reversed(self._chain(chain)), None)

    def _chain(self, chain: str) -> list[str]:
        """The paths of a chain, in order, with the iterations of the chain."""
        inside = template(chain)
        return [
            join(chain, path.rpartition("/")[2])
            for path in self.graph.places
            if path.rpartition("/")[0] == inside
        ]

    def is_join(self, path: str) -> bool:
        """Whether the node at a path joins a fork."""
        place = self.graph.place(path)
        return place is not None and place.joined is not None

    def order(self, path: str) -> int:
        """The number of a path in graph order."""
        place = self.graph.place(path)
        return -1 if place is None else place.order

    def timeout_of(self, path: str) -> int | None:
        """How long an attempt at a path may take, in milliseconds."""
        node = self.node(path)
        return node.timeout_ms if isinstance(node, TaskNode) else None

    def can_be_undone(self, path: str) -> bool:
        """Whether the node at a path is a task with a compensation."""
        node = self.node(path)
        return isinstance(node, TaskNode) and node.compensate is not None

    def around(self, path: str) -> str:
        """The type of the container that a path is in; empty for the root chain."""
        chain = path.rpartition("/")[0]
        while chain:
            place = self.graph.place(chain)
            if place is not None:
                return type(place.node).__name__
            chain = chain.rpartition("/")[0]
        return ""

    def is_container(self, path: str, kind: type[ForkNode | LoopNode]) -> bool:
        """Whether the node at a path is a container of that type."""
        return isinstance(self.node(path), kind)
