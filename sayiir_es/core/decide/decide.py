"""Decide: (definitions, snapshot, command or outcome or timer, now) → events.

Pure. A bad command never raises: it is answered by `CommandRejected`, an outcome that
is not due by `OutcomeRejected`. `decide` never looks at a clock; `now_ms` is the time
of all events of the decision. What a construct does is told in its module under
`nodes/`; what follows from it in `settle`; commands in `answers`, attempts in
`attempts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, assert_never

from sayiir_es.core.decide import attempts
from sayiir_es.core.decide.advance import advance
from sayiir_es.core.decide.commands import handle
from sayiir_es.core.decide.owed import is_held, owed_moves
from sayiir_es.core.draft import Draft
from sayiir_es.core.graph.lookup import Definitions, get_graph
from sayiir_es.core.graph.nodes import SignalNode
from sayiir_es.core.model.inputs import (
    Commanded,
    Outcome,
    ResumeCut,
    SlotTaken,
    TakenOver,
    TimerDue,
)
from sayiir_es.core.model.rows import TERMINAL, Cursor, get_cursor
from sayiir_es.core.model.waits import Awaiting, Listening, Sleeping
from sayiir_es.core.nodes import delay, signal

if TYPE_CHECKING:
    from sayiir_es.core.model.limits import Limits
    from sayiir_es.core.model.rows import StagedRows

Input: TypeAlias = Commanded | Outcome | TimerDue | SlotTaken | TakenOver | ResumeCut


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionContext:
    """What a decision may know beside the snapshot."""

    claim: int
    now_ms: int
    definitions: Definitions
    limits: Limits


def decide(asked: Input, rows: StagedRows, world: DecisionContext, room: int) -> Draft:
    """One decision: its events, stamped, and the staged rows behind them.

    `room` is how many bytes the batch has left. A draft without events says that
    nothing is to be recorded. When `cut`, a `Rest` of the instance is decided next.

    Raises:
        HistoryError: if the snapshot names a definition that nobody published.
    """
    instance_id = (
        asked.command.instance_id if isinstance(asked, Commanded) else asked.instance_id
    )
    draft = Draft(
        rows,
        instance_id=instance_id,
        claim=world.claim,
        now_ms=world.now_ms,
        room=room,
        limits=world.limits,
    )
    match asked:
        case Commanded():
            handle.handle_command(draft, asked, world.definitions)
        case Outcome():
            draft.cause = f"outcome:{asked.path}#{asked.attempt}"
            attempts.handle_outcome(draft, asked, world.definitions)
        case TimerDue():
            _fire(draft, asked, world.definitions)
        case SlotTaken():
            attempts.take_slot(draft, asked, world.definitions)
        case TakenOver():
            draft.cause = f"takeover:{world.claim}"
            attempts.take_over(draft, world.definitions)
        case ResumeCut():
            _finish(draft, world.definitions)
        case _:
            assert_never(asked)
    return draft


# --- timers ---------------------------------------------------------------------------


def _fire(draft: Draft, timer: TimerDue, definitions: Definitions) -> None:
    header, cursor = draft.header, get_cursor(draft.rows, timer.chain)
    if header is None or cursor is None or header.phase != "running":
        return
    draft.cause = f"timer:{cursor.path}@{timer.due_at}"
    match cursor.wait:
        case Sleeping(due_at=due_at) if due_at == timer.due_at and not is_held(header):
            draft.graph = get_graph(draft.rows, definitions)
            delay.elapse(draft, cursor.path)
        case Listening(until_at=until) if until == timer.due_at and not is_held(header):
            draft.graph = get_graph(draft.rows, definitions)
            _time_out_signal(draft, cursor)
        case Awaiting(deadline_at=deadline) as wait if deadline == timer.due_at:
            draft.graph = get_graph(draft.rows, definitions)
            attempts.time_out(draft, header, cursor, wait)
        case _:
            # Late for a cursor that moved on; or the end of a backoff, which is not
            # recorded: the attempt is handed out, or withdrawn, by the owner.
            return
    advance(draft)


def _time_out_signal(draft: Draft, cursor: Cursor) -> None:
    signal.time_out(draft, cursor.path)
    assert draft.graph is not None
    place = draft.graph.place(cursor.path)
    if (
        place is not None
        and isinstance(place.node, SignalNode)
        and place.node.on_timeout == "fail"
    ):
        draft.emit(signal.failure(place.node, cursor.path))


def _finish(draft: Draft, definitions: Definitions) -> None:
    header = draft.header
    if header is None or header.phase in TERMINAL or header.phase == "unstarted":
        return
    draft.cause = f"owed:{header.sequence}"
    draft.graph = get_graph(draft.rows, definitions)
    draft.touched.extend(reversed(owed_moves(draft.rows, draft.graph)))
    advance(draft)
