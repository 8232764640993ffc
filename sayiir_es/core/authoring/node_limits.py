"""What is wrong with the nodes of a graph, by their own names and sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.graph.graph import count_nodes, inner_chains
from sayiir_es.core.graph.nodes import NODES_MAX, ForkNode, Node, TaskNode
from sayiir_es.core.model.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph

PATH_BYTES_MAX = 64 * 1024
"""The longest path of a node: events name some, and have to fit a batch with them."""

BRANCH_NAMES_BYTES_MAX = 256 * 1024
"""Names of one fork's branches: they stand in one event, `ForkStarted`."""


def wrong_nodes(chain: tuple[Node, ...]) -> list[str]:
    """What is wrong with the nodes of a chain and of those inside them."""
    wrong: list[str] = []
    limit = DEFAULT_LIMITS.id_bytes
    for node in chain:
        size = len(node.id.encode())
        if not isinstance(node, ForkNode) and not 0 < size <= limit:
            wrong.append(
                f"expected a node id of 1 to {limit} bytes, but {node.id[:64]!r} has "
                f"{size}"
            )
        if isinstance(node, ForkNode):
            names = sum(len(branch.name.encode()) for branch in node.branches)
            if names > BRANCH_NAMES_BYTES_MAX:
                wrong.append(
                    f"expected branch names of at most {BRANCH_NAMES_BYTES_MAX} bytes "
                    f"in all, but fork {node.id[:64]!r} has {names}"
                )
        if isinstance(node, TaskNode) and node.compensate is not None:
            wrong += wrong_nodes((node.compensate,))
        for _, inner in inner_chains(node):
            wrong += wrong_nodes(inner)
    return wrong


def wrong_size(chain: tuple[Node, ...]) -> list[str]:
    """What is wrong with the number of nodes of a whole graph."""
    nodes = count_nodes(chain)
    if nodes <= NODES_MAX:
        return []
    wrong = (
        f"expected a workflow of at most {NODES_MAX:,} nodes, but {nodes:,}: "
        "start an instance for each part of the work"
    )
    return [wrong]


def check_paths(graph: Graph) -> None:
    """Check how long the paths of a graph are.

    Raises:
        ValueError: if one is too long.
    """
    longest = max(len(path.encode()) for path in graph.places)
    if longest > PATH_BYTES_MAX:
        raise ValueError(
            f"expected paths of at most {PATH_BYTES_MAX} bytes, but one of the "
            f"names and containers of {graph.name!r} has {longest}"
        )
