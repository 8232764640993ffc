"""Cancel, pause, unpause: requests that apply as soon as nothing runs; cancel wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide.advance import advance
from sayiir_es.core.decide.basis import draft_in_run
from sayiir_es.core.decide.owed import owed_moves
from sayiir_es.core.decide.rejections import (
    acknowledge,
    reject,
    reject_compensating,
    reject_not_found,
    reject_quarantined,
    reject_terminal,
)
from sayiir_es.core.model.events import (
    CancelRequested,
    PauseRequested,
    WorkflowUnpaused,
)
from sayiir_es.core.model.rows import TERMINAL

if TYPE_CHECKING:
    from sayiir_es.core.draft import Basis, Decision
    from sayiir_es.core.model.commands import (
        CancelWorkflow,
        PauseWorkflow,
        UnpauseWorkflow,
    )


def cancel(basis: Basis, command: CancelWorkflow) -> Decision:
    """Answer a cancel; a second one changes nothing."""
    header = basis.header
    if header.run == 0:
        return reject_not_found(basis, command)
    if header.compensation != "none":
        # In quarantine nothing is undone: there a cancel gives up what is still to be.
        is_stopped = header.phase != "quarantined"
    else:
        is_stopped = header.phase == "cancelled" or header.cancel is not None
    if is_stopped:
        return acknowledge(basis, command, "unchanged", header.sequence)
    if header.phase in TERMINAL:
        return reject_terminal(basis, command)
    draft = draft_in_run(basis)
    draft.emit(
        CancelRequested(
            command_id=command.command_id,
            reason=command.reason,
            requested_by=command.requested_by,
        )
    )
    advance(draft)
    return draft.decision()


def pause(basis: Basis, command: PauseWorkflow) -> Decision:
    """Answer a pause; a second one, or one under a cancel, changes nothing."""
    header = basis.header
    if header.run == 0:
        return reject_not_found(basis, command)
    if header.phase == "quarantined":
        return reject_quarantined(basis, command)
    if header.phase in TERMINAL:
        return reject_terminal(basis, command)
    if header.compensation != "none":
        return reject_compensating(basis, command)
    if header.pause is not None or header.cancel is not None:
        return acknowledge(basis, command, "unchanged", header.sequence)
    draft = draft_in_run(basis)
    draft.emit(
        PauseRequested(
            command_id=command.command_id,
            reason=command.reason,
            requested_by=command.requested_by,
        )
    )
    advance(draft)
    return draft.decision()


def unpause(basis: Basis, command: UnpauseWorkflow) -> Decision:
    """Answer an unpause; it revokes a pause that is only requested."""
    header = basis.header
    if header.run == 0:
        return reject_not_found(basis, command)
    if header.phase == "quarantined":
        return reject_quarantined(basis, command)
    if header.pause is None or header.cancel is not None or header.phase in TERMINAL:
        seen: str = "cancel requested" if header.cancel is not None else header.phase
        if header.compensation != "none":
            seen = "about to end, once what it did is undone"
        message = f"expected a paused instance, but it is {seen}"
        return reject(basis, command, "not_paused", message)
    draft = draft_in_run(basis)
    draft.emit(
        WorkflowUnpaused(
            command_id=command.command_id,
            reason=command.reason,
            requested_by=command.requested_by,
        )
    )
    draft.touched.extend(reversed(owed_moves(draft.rows, draft.graph)))
    advance(draft)
    return draft.decision()
