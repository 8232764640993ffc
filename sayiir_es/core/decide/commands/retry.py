"""A failed run goes on from the node that failed, as the next run of its instance.

Theory of operation. `WorkflowRetried` folds over all that stands: attempts that had
failed, or were stopped by the failure beside them, are due again as attempt 1; delays
and waits go on under the times they had; results and buffered signals are kept. Only a
failed node that is no attempt, a loop without a way on, a start of a child or a wait
whose time-out fails the run, opens again by its own event in the same decision: a loop
from its first iteration, a child is started anew, a wait has all of its time. A move
that was too large to be recorded is made again: it fails again, unless the log takes
more by now. The run has all of its time again.

An instance in quarantine has not failed: a retry releases it. Where what a run did was
undone, only the compensations that could not undo are tried again; the run then stands
failed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide.advance import advance, open_node
from sayiir_es.core.decide.basis import draft_in_run
from sayiir_es.core.decide.owed import owed_moves
from sayiir_es.core.decide.quarantine import release
from sayiir_es.core.decide.rejections import reject, reject_not_found
from sayiir_es.core.decide.start_queue import ask_run_permit
from sayiir_es.core.graph.nodes import LoopNode, SignalNode, StartChildNode
from sayiir_es.core.model.events import WorkflowRetried
from sayiir_es.core.model.rows import chain_of, get_cursor, get_ending
from sayiir_es.core.model.undo_rows import has_undoable, paths_to_undo
from sayiir_es.core.model.waits import has_a_result
from sayiir_es.core.nodes.run_deadline import deadline_of

if TYPE_CHECKING:
    from sayiir_es.core.draft import Basis, Decision, Draft
    from sayiir_es.core.model.commands import RetryWorkflow


def retry(basis: Basis, command: RetryWorkflow) -> Decision:
    """Answer a retry: what has failed, or stands still in quarantine, can go on."""
    header = basis.header
    if header.run == 0:
        return reject_not_found(basis, command)
    if header.phase == "quarantined":
        if command.input is not None:
            message = "expected no input for an instance in quarantine, but one"
            return reject(basis, command, "bad_request", message)
        return release(basis, command)
    if header.phase != "failed":
        message = (
            f"expected a failed instance, but {command.instance_id!r} is {header.phase}"
        )
        return reject(basis, command, "not_failed", message)
    ending = get_ending(basis.rows)
    assert ending is not None
    draft = draft_in_run(basis)
    has_more = bool(paths_to_undo(basis.rows, "n"))
    if has_undoable(basis.rows) and not has_more:
        message = (
            f"expected a failed instance, but all that {command.instance_id!r} did is "
            "undone: start it anew, or fork it at a sequence before its failure"
        )
        return reject(basis, command, "compensated", message)
    if command.input is not None and has_more:
        message = (
            "expected no input, but one: only the compensations that failed are tried "
            "again"
        )
        return reject(basis, command, "bad_request", message)
    if command.input is not None and not _takes_input(draft, ending.path):
        message = (
            f"expected no input, but one: {ending.path!r}, where the run failed, would "
            "not get it"
        )
        return reject(basis, command, "bad_request", message)
    draft.emit(
        WorkflowRetried(
            command_id=command.command_id,
            input=command.input,
            reason=command.reason,
            requested_by=command.requested_by,
            # What is undone has no end of its time.
            deadline_at=None if has_more else deadline_of(draft.graph, draft.now_ms),
        ),
        run=header.run + 1,
    )
    if not has_more:
        reopen(draft, ending.path)
        if not ask_run_permit(draft, is_bounded=False):
            open_first(draft)
    draft.touched.extend(reversed(owed_moves(draft.rows, draft.graph)))
    advance(draft)
    return draft.decision()


def _takes_input(draft: Draft, path: str) -> bool:
    """Whether what failed begins again with its input: not a wait that drops it."""
    place, cursor = draft.graph.place(path), get_cursor(draft.rows, chain_of(path))
    return (
        place is not None
        and (not isinstance(place.node, SignalNode) or place.node.keep_input)
        and cursor is not None
        and cursor.path == path
        and not has_a_result(cursor.wait)
    )


def open_first(draft: Draft) -> None:
    """Open the first node of a run that failed before it began.

    What is being undone began, and nothing of it goes on.
    """
    if get_cursor(draft.rows, "") is None and draft.header.compensation == "none":
        open_node(draft, draft.graph.first, "start")


def reopen(draft: Draft, path: str) -> None:
    """Open the node at which the run failed by its own event, if it is no attempt."""
    place, cursor = draft.graph.place(path), get_cursor(draft.rows, chain_of(path))
    if (
        place is None
        or cursor is None
        or cursor.path != path
        or has_a_result(cursor.wait)
    ):
        return
    if isinstance(place.node, LoopNode | SignalNode | StartChildNode):
        open_node(draft, path, cursor.input)
