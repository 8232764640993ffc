"""Cancel, pause, unpause: requests that apply as soon as nothing runs; cancel wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide.advance import advance
from sayiir_es.core.decide.owed import owed_moves
from sayiir_es.core.decide.rejections import (
    acknowledge,
    existing,
    load_graph,
    not_terminal,
    reject,
)
from sayiir_es.core.model.events import (
    CancelRequested,
    PauseRequested,
    WorkflowUnpaused,
)
from sayiir_es.core.model.rows import TERMINAL

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.lookup import Definitions
    from sayiir_es.core.model.commands import (
        CancelWorkflow,
        PauseWorkflow,
        UnpauseWorkflow,
    )


def cancel(draft: Draft, command: CancelWorkflow, definitions: Definitions) -> None:
    """Answer a cancel; a second one changes nothing."""
    header = existing(draft, command)
    if header is None:
        return
    if header.phase == "cancelled" or header.cancel is not None:
        acknowledge(draft, command, "unchanged", header.sequence)
    elif header.phase in TERMINAL:
        reject(draft, command, "terminal", not_terminal(command, header))
    else:
        draft.emit(
            CancelRequested(
                command_id=command.command_id,
                reason=command.reason,
                requested_by=command.requested_by,
            )
        )
        load_graph(draft, definitions)
        advance(draft)


def pause(draft: Draft, command: PauseWorkflow, definitions: Definitions) -> None:
    """Answer a pause; a second one, or one under a cancel, changes nothing."""
    header = existing(draft, command)
    if header is None:
        return
    if header.phase in TERMINAL:
        reject(draft, command, "terminal", not_terminal(command, header))
    elif header.pause is not None or header.cancel is not None:
        acknowledge(draft, command, "unchanged", header.sequence)
    else:
        draft.emit(
            PauseRequested(
                command_id=command.command_id,
                reason=command.reason,
                requested_by=command.requested_by,
            )
        )
        load_graph(draft, definitions)
        advance(draft)


def unpause(draft: Draft, command: UnpauseWorkflow, definitions: Definitions) -> None:
    """Answer an unpause; it revokes a pause that is only requested."""
    header = existing(draft, command)
    if header is None:
        return
    if header.pause is None or header.cancel is not None or header.phase in TERMINAL:
        seen = "cancel requested" if header.cancel is not None else header.phase
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
    advance(draft)
