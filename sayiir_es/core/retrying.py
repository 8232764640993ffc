"""A failed run goes on from the node that failed, as the next run of its instance.

Theory of operation. `WorkflowRetried` folds over all that stands: attempts that had
failed, or were stopped by the failure beside them, are due again as attempt 1; delays
and waits go on under the times they had; results and buffered signals are kept. Only a
failed node that is no attempt, a loop without a way on or a wait whose time-out fails
the run, opens again by its own event in the same decision: a loop from its first
iteration, a wait with all of its time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.events import WorkflowRetried
from sayiir_es.core.graph import LoopNode, SignalNode
from sayiir_es.core.moves import owed_moves
from sayiir_es.core.refusals import existing, load_graph, reject
from sayiir_es.core.rows import chain_of, cursor, ending
from sayiir_es.core.settle import open_node, settle

if TYPE_CHECKING:
    from sayiir_es.core.commands import RetryWorkflow
    from sayiir_es.core.definition import Graph
    from sayiir_es.core.definitions import Definitions
    from sayiir_es.core.draft import Draft


def retry(draft: Draft, command: RetryWorkflow, definitions: Definitions) -> None:
    """Answer a retry: only what has failed can go on."""
    known = existing(draft, command)
    if known is None:
        return
    if known.phase != "failed":
        reject(
            draft,
            command,
            "not_failed",
            f"expected a failed instance, but {command.instance_id!r} is {known.phase}",
        )
        return
    failed = ending(draft.rows)
    assert failed is not None
    graph = load_graph(draft, definitions)
    draft.emit(WorkflowRetried(command_id=command.command_id), run=known.run + 1)
    reopen(draft, graph, failed.path)
    draft.touched.extend(reversed(owed_moves(draft.rows, graph)))
    settle(draft)


def reopen(draft: Draft, graph: Graph, path: str) -> None:
    """Open the node at which the run failed by its own event, if it is no attempt."""
    place, standing = graph.place(path), cursor(draft.rows, chain_of(path))
    if place is None or standing is None or standing.path != path:
        return
    if isinstance(place.node, LoopNode | SignalNode):
        open_node(draft, path, standing.input)
