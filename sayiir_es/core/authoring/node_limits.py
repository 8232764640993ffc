"""What is wrong with the nodes of a graph, by their own names and sizes."""

from __future__ import annotations

from sayiir_es.core.graph.graph import inner_chains
from sayiir_es.core.graph.nodes import ForkNode, Node, TaskNode
from sayiir_es.core.model.limits import DEFAULT_LIMITS

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
