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

from sayiir_es.core import answers, attempts
from sayiir_es.core.definitions import Definitions, graph_of
from sayiir_es.core.draft import Draft
from sayiir_es.core.graph import SignalNode
from sayiir_es.core.moves import is_held, owed_moves
from sayiir_es.core.nodes import delay, signal
from sayiir_es.core.outcomes import (
    Commanded,
    Outcome,
    Rest,
    SlotTaken,
    TakenOver,
    TimerDue,
)
from sayiir_es.core.rows import TERMINAL, Cursor, cursor
from sayiir_es.core.settle import settle
from sayiir_es.core.waits import Awaiting, Listening, Sleeping

if TYPE_CHECKING:
    from sayiir_es.core.limits import Limits
    from sayiir_es.core.rows import StagedRows

Input: TypeAlias = Commanded | Outcome | TimerDue | SlotTaken | TakenOver | Rest


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a decision may know beside the snapshot."""

    claim: int
    now_ms: int
    definitions: Definitions
    limits: Limits


def decide(asked: Input, rows: StagedRows, world: World, room: int) -> Draft:
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
            answers.answer(draft, asked, world.definitions)
        case Outcome():
            draft.cause = f"outcome:{asked.path}#{asked.attempt}"
            attempts.answer_outcome(draft, asked, world.definitions)
        case TimerDue():
            _fire(draft, asked, world.definitions)
        case SlotTaken():
            attempts.take_slot(draft, asked, world.definitions)
        case TakenOver():
            draft.cause = f"takeover:{world.claim}"
            attempts.take_over(draft, world.definitions)
        case Rest():
            _finish(draft, world.definitions)
        case _:
            assert_never(asked)
    return draft


# --- timers ---------------------------------------------------------------------------


def _fire(draft: Draft, timer: TimerDue, definitions: Definitions) -> None:
    known, standing = draft.header, cursor(draft.rows, timer.chain)
    if known is None or standing is None or known.phase != "running":
        return
    draft.cause = f"timer:{standing.path}@{timer.due_at}"
    match standing.wait:
        case Sleeping(due_at=due_at) if due_at == timer.due_at and not is_held(known):
            draft.graph = graph_of(draft.rows, definitions)
            delay.elapse(draft, standing.path)
        case Listening(until_at=until) if until == timer.due_at and not is_held(known):
            draft.graph = graph_of(draft.rows, definitions)
            _time_out_signal(draft, standing)
        case Awaiting(deadline_at=deadline) as wait if deadline == timer.due_at:
            draft.graph = graph_of(draft.rows, definitions)
            attempts.time_out(draft, known, standing, wait)
        case _:
            # Late for a cursor that moved on; or the end of a backoff, which is not
            # recorded: the attempt is handed out, or withdrawn, by the owner.
            return
    settle(draft)


def _time_out_signal(draft: Draft, standing: Cursor) -> None:
    signal.time_out(draft, standing.path)
    assert draft.graph is not None
    place = draft.graph.place(standing.path)
    if (
        place is not None
        and isinstance(place.node, SignalNode)
        and place.node.on_timeout == "fail"
    ):
        draft.emit(signal.failure(place.node, standing.path))


def _finish(draft: Draft, definitions: Definitions) -> None:
    known = draft.header
    if known is None or known.phase in TERMINAL or known.phase == "unstarted":
        return
    draft.cause = f"owed:{known.sequence}"
    draft.graph = graph_of(draft.rows, definitions)
    draft.touched.extend(reversed(owed_moves(draft.rows, draft.graph)))
    settle(draft)
