"""Cancel, pause, unpause: requests that apply as soon as nothing runs; cancel wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.events import CancelRequested, PauseRequested, WorkflowUnpaused
from sayiir_es.core.moves import owed_moves
from sayiir_es.core.refusals import (
    acknowledge,
    existing,
    load_graph,
    not_terminal,
    reject,
)
from sayiir_es.core.rows import TERMINAL
from sayiir_es.core.settle import settle

if TYPE_CHECKING:
    from sayiir_es.core.commands import CancelWorkflow, PauseWorkflow, UnpauseWorkflow
    from sayiir_es.core.definitions import Definitions
    from sayiir_es.core.draft import Draft


def cancel(draft: Draft, command: CancelWorkflow, definitions: Definitions) -> None:
    """Answer a cancel; a second one changes nothing."""
    known = existing(draft, command)
    if known is None:
        return
    if known.phase == "cancelled" or known.cancel is not None:
        acknowledge(draft, command, "unchanged", known.sequence)
    elif known.phase in TERMINAL:
        reject(draft, command, "terminal", not_terminal(command, known))
    else:
        draft.emit(
            CancelRequested(
                command_id=command.command_id,
                reason=command.reason,
                requested_by=command.requested_by,
            )
        )
        load_graph(draft, definitions)
        settle(draft)


def pause(draft: Draft, command: PauseWorkflow, definitions: Definitions) -> None:
    """Answer a pause; a second one, or one under a cancel, changes nothing."""
    known = existing(draft, command)
    if known is None:
        return
    if known.phase in TERMINAL:
        reject(draft, command, "terminal", not_terminal(command, known))
    elif known.pause is not None or known.cancel is not None:
        acknowledge(draft, command, "unchanged", known.sequence)
    else:
        draft.emit(
            PauseRequested(
                command_id=command.command_id,
                reason=command.reason,
                requested_by=command.requested_by,
            )
        )
        load_graph(draft, definitions)
        settle(draft)


def unpause(draft: Draft, command: UnpauseWorkflow, definitions: Definitions) -> None:
    """Answer an unpause; it revokes a pause that is only requested."""
    known = existing(draft, command)
    if known is None:
        return
    if known.pause is None or known.cancel is not None or known.phase in TERMINAL:
        seen = "cancel requested" if known.cancel is not None else known.phase
        reject(
            draft,
            command,
            "not_paused",
            f"expected a paused instance, but it is {seen}",
        )
        return
    draft.emit(
        WorkflowUnpaused(
            command_id=command.command_id,
            reason=command.reason,
            requested_by=command.requested_by,
        )
    )
    graph = load_graph(draft, definitions)
    draft.touched.extend(reversed(owed_moves(draft.rows, graph)))
    settle(draft)
