"""A graph prepared for checking: what may open and what ends, by concrete path.

Theory of operation. A run is checked against what the graph allows next: when a node
has ended, the path behind it may open; when a container has opened, the first path of
each of its chains may. All of that follows from templates and is worked out once per
graph; a concrete path only adds its iterations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.graph.graph import inner_chains, segments
from sayiir_es.core.graph.nodes import ForkNode, LoopNode, TaskNode
from sayiir_es.core.graph.paths import template

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph, Place
    from sayiir_es.core.graph.nodes import Node


class Blueprint:
    """Answers questions about one graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.digest = graph.digest
        self.definition_hash = graph.definition_hash
        self.first = graph.first
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
        found = self._firsts.get(key)
        if found is None:
            node = self.node(path)
            assert node is not None
            found = {name: segments(chain)[0] for name, chain in inner_chains(node)}
            self._firsts[key] = found
        return found

    def successor(self, path: str) -> str | None:
        """The next path of the same chain."""
        return self.graph.successor(path)

    def is_join(self, path: str) -> bool:
        """Whether the node at a path joins a fork."""
        place = self.graph.place(path)
        return place is not None and place.joined is not None

    def order(self, path: str) -> int:
        """Where a path stands in graph order."""
        place = self.graph.place(path)
        return -1 if place is None else place.order

    def timeout_of(self, path: str) -> int | None:
        """How long an attempt at a path may take, in milliseconds."""
        node = self.node(path)
        return node.timeout_ms if isinstance(node, TaskNode) else None

    def around(self, path: str) -> str:
        """The sort of container that a path stands in, for telling invariants apart."""
        chain = path.rpartition("/")[0]
        while chain:
            place = self.graph.place(chain)
            if place is not None:
                return type(place.node).__name__
            chain = chain.rpartition("/")[0]
        return ""

    def is_container(self, path: str, kind: type[ForkNode | LoopNode]) -> bool:
        """Whether a container of that sort stands at a path."""
        return isinstance(self.node(path), kind)
