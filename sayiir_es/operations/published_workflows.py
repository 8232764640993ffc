"""The workflows that workers and clients have published, and who has their code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.operations.drawing.node_text import text_of

if TYPE_CHECKING:
    from sayiir_es.client.session import Session
    from sayiir_es.core.graph.graph import Graph

STEPS_SHOWN = 6


async def read_published(session: Session) -> dict[str, list[Graph]]:
    """The versions of every workflow, in the order in which they were published.

    The one at the end is the one that a start by name takes.
    """
    await session.open()
    await session.definitions.refresh()
    versions_by_name: dict[str, list[Graph]] = {}
    for graph in session.registry.graphs():
        versions_by_name.setdefault(graph.name, []).append(graph)
    for name, versions in versions_by_name.items():
        last = session.registry.by_name(name, None)
        if last is not None:  # it may have been published before, too
            versions.remove(last)
            versions.append(last)
    return versions_by_name


def workers_with_code(session: Session, graph: Graph) -> tuple[str, ...]:
    """The workers that can run every attempt of every run of a graph."""
    registry = session.registry
    return tuple(
        sorted(
            owner_id
            for owner_id, capabilities in registry.workers().items()
            if registry.code_of(capabilities).is_complete(graph)
        )
    )


def steps_of(graph: Graph) -> str:
    """The first nodes of the root chain, by name."""
    titles = [text_of(node, is_join=False).title for node in graph.chain[:STEPS_SHOWN]]
    more = ["…"] if len(graph.chain) > STEPS_SHOWN else []
    return " → ".join((*titles, *more))
