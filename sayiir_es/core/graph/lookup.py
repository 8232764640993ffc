"""The graphs that a process knows, as `decide` sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sayiir_es.core.model.errors import UnknownDefinitionError
from sayiir_es.core.model.rows import Rows, get_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.graph.graph import Graph


class Definitions(Protocol):
    """The graphs that this process knows."""

    def by_name(
        self, workflow: str, definition_hash: str | None, version: str | None = None
    ) -> Graph | None:
        """The graph to start.

        Of that hash and version if given (empty: without a version), else of the
        greatest version; the one registered here, else the latest published.
        """
        ...

    def find_graphs(self, workflow: str, beginning: str) -> Sequence[Graph]:
        """Those of a name whose digest or definition hash begins so; one of a hash."""
        ...

    def by_digest(self, graph_digest: str) -> Graph | None:
        """The graph that a run was started with."""
        ...


def get_graph(rows: Rows, definitions: Definitions) -> Graph:
    """The graph of the current run.

    Raises:
        UnknownDefinitionError: if nobody published it.
    """
    started = get_run(rows)
    assert started is not None
    graph = definitions.by_digest(started.graph_digest)
    if graph is None:
        raise UnknownDefinitionError(
            f"expected the graph {started.graph_digest[:16]}… of workflow "
            f"{started.workflow!r} on the definitions topic, but it is not there"
        )
    return graph
