"""A failed run goes on from the node that failed, as the next run of its instance.

Theory of operation. `WorkflowRetried` folds over all that stands: attempts that had
failed, or were stopped by the failure beside them, are due again as attempt 1; delays
and waits go on under the times they had; results and buffered signals are kept. Only a
failed node that is no attempt, a loop without a way on or a wait whose time-out fails
the run, opens again by its own event in the same decision: a loop from its first
iteration, a wait with all of its time.

An instance in quarantine has not failed: a retry releases it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide.advance import advance, open_node
from sayiir_es.core.decide.basis import draft_in_run
from sayiir_es.core.decide.owed import owed_moves
from sayiir_es.core.decide.quarantine import release
from sayiir_es.core.decide.rejections import reject, reject_not_found
from sayiir_es.core.graph.nodes import LoopNode, SignalNode
from sayiir_es.core.model.events import WorkflowRetried
from sayiir_es.core.model.rows import chain_of, get_cursor, get_ending

if TYPE_CHECKING:
    from sayiir_es.core.draft import Basis, Decision, Draft
    from sayiir_es.core.model.commands import RetryWorkflow


def retry(basis: Basis, command: RetryWorkflow) -> Decision:
    """Answer a retry: what has failed, or stands still in quarantine, can go on."""
    header = basis.header
    if header.run == 0:
        return reject_not_found(basis, command)
    if header.phase == "quarantined":
        return release(basis, command)
    if header.phase != "failed":
        message = (
            f"expected a failed instance, but {command.instance_id!r} is {header.phase}"
        )
        return reject(basis, command, "not_failed", message)
    ending = get_ending(basis.rows)
    assert ending is not None
    draft = draft_in_run(basis)
    draft.emit(WorkflowRetried(command_id=command.command_id), run=header.run + 1)
    reopen(draft, ending.path)
    draft.touched.extend(reversed(owed_moves(draft.rows, draft.graph)))
    advance(draft)
    return draft.decision()


def reopen(draft: Draft, path: str) -> None:
    """Open the node at which the run failed by its own event, if it is no attempt."""
    place, cursor = draft.graph.place(path), get_cursor(draft.rows, chain_of(path))
    if place is None or cursor is None or cursor.path != path:
        return
    if isinstance(place.node, LoopNode | SignalNode):
        open_node(draft, path, cursor.input)
