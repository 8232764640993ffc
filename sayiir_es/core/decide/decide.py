"""Decide: (command or outcome or timer, snapshot, definitions, now) → events.

Pure. It only reads the rows that it is given, and never looks at a clock: the time of
the context is that of all events of the decision. A bad command never raises: it is
answered by `CommandRejected`, an outcome that is not due by `OutcomeRejected`.

Who decides what: `commands/` on commands, `attempts` on outcomes, slots and lost
owners, `messages` on what was sent to other instances, this module on timers and on the
rest of a cut decision. What a construct does stands in its module under `nodes/`; what
follows from it in `advance`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from sayiir_es.core.decide import attempts, debounce, limits, permits, start_queue
from sayiir_es.core.decide.advance import advance
from sayiir_es.core.decide.basis import basis_of, draft_in_run
from sayiir_es.core.decide.commands import handle
from sayiir_es.core.decide.messages import handle_sent
from sayiir_es.core.decide.owed import is_timer_held, owed_moves
from sayiir_es.core.decide.quarantine import quarantine
from sayiir_es.core.draft import Decision, DecisionContext, nothing
from sayiir_es.core.model.headers import header_of
from sayiir_es.core.model.inputs import (
    Commanded,
    DecisionFailed,
    MessageSent,
    Outcome,
    PermitReturnSent,
    ResumeCut,
    SlotTaken,
    TakenOver,
    TimerDue,
)
from sayiir_es.core.model.permit_events import is_limit
from sayiir_es.core.model.rows import TERMINAL, get_cursor
from sayiir_es.core.model.run_permit_events import is_queue
from sayiir_es.core.nodes.debounce import is_debouncing
from sayiir_es.core.nodes.registry import WAITS

if TYPE_CHECKING:
    from sayiir_es.core.model.inputs import Input
    from sayiir_es.core.model.rows import Rows


def decide(input_: Input, rows: Rows, context: DecisionContext, room: int) -> Decision:
    """One decision about the instance with those rows.

    `room` is how many bytes the batch has left.

    Raises:
        UnknownDefinitionError: if nobody published what the snapshot names.
    """
    match input_:
        case Commanded():
            return handle.handle_command(input_, rows, context, room)
        case Outcome():
            return attempts.handle_outcome(input_, rows, context, room)
        case TimerDue():
            return _fire(input_, rows, context, room)
        case SlotTaken():
            return attempts.take_slot(input_, rows, context, room)
        case TakenOver():
            return attempts.take_over(input_, rows, context, room)
        case MessageSent():
            return handle_sent(input_, rows, context, room)
        case ResumeCut():
            return _resume(input_, rows, context, room)
        case DecisionFailed():
            return quarantine(input_, rows, context, room)
        case PermitReturnSent():
            return permits.release(input_, rows, context, room)
        case _:
            assert_never(input_)


def _fire(timer: TimerDue, rows: Rows, context: DecisionContext, room: int) -> Decision:
    """A time has come. Nothing is recorded for a cursor that has moved on since.

    Nor for the end of a backoff: the owner hands the attempt out, or takes it back.
    """
    if is_limit(timer.instance_id):
        return limits.grant_due(timer, rows, context, room)
    if is_queue(timer.instance_id):
        return start_queue.grant_due(timer, rows, context, room)
    header, cursor = header_of(rows), get_cursor(rows, timer.chain)
    if cursor is not None and is_debouncing(cursor.wait):
        return debounce.elapse(timer, cursor, rows, context, room)
    if cursor is None or header.phase != "running":
        return nothing(timer.instance_id)
    wait = cursor.wait
    kind = WAITS[type(wait)]
    if kind.fires_at(wait) != timer.due_at or is_timer_held(header, wait):
        return nothing(timer.instance_id)
    cause = f"timer:{cursor.path}@{timer.due_at}"
    draft = draft_in_run(basis_of(timer.instance_id, cause, rows, context, room))
    kind.fire(draft, cursor, wait)
    advance(draft)
    return draft.decision()


def _resume(
    cut: ResumeCut, rows: Rows, context: DecisionContext, room: int
) -> Decision:
    """Decide what a decision left owed that was cut."""
    header = header_of(rows)
    if header.phase in TERMINAL or header.phase == "unstarted":
        return nothing(cut.instance_id)
    cause = f"owed:{header.sequence}"
    draft = draft_in_run(basis_of(cut.instance_id, cause, rows, context, room))
    draft.touched.extend(reversed(owed_moves(rows, draft.graph)))
    advance(draft)
    return draft.decision()
