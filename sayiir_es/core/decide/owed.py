"""What a snapshot says is owed: moves, attempts to hand out, timers to arm.

Pure functions of rows. They say the same live, where `advance` makes the moves and the
owner asks about the cursors that a decision changed, and after a crash, where the next
owner asks about all. Nothing else decides what runs. A requested cancel or pause holds
moves back, and so does a failure behind which something is to be undone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.fast_frozen import fast_frozen, maker
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.model.headers import is_held as is_held  # noqa: PLC0414 (asked here)
from sayiir_es.core.model.headers import is_requested as is_requested  # noqa: PLC0414
from sayiir_es.core.model.headers import is_stopping as is_stopping  # noqa: PLC0414
from sayiir_es.core.model.rows import (
    TERMINAL,
    Cursor,
    Header,
    Rows,
    get_cursors,
    get_header,
)
from sayiir_es.core.model.undo_rows import is_any_to_undo
from sayiir_es.core.model.waits import Awaiting, Broken, Granting
from sayiir_es.core.nodes import compensation, task
from sayiir_es.core.nodes.debounce import is_debouncing
from sayiir_es.core.nodes.registry import WAITS

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.waits import Wait


# --- moves ----------------------------------------------------------------------------


def is_move_owed(rows: Rows, header: Header, cursor: Cursor) -> bool:
    """Whether this cursor's next move is owed now.

    Of a fork it says so while a branch may be unopened; the move itself finds out.
    """
    wait = cursor.wait
    if isinstance(wait, Broken):
        return not is_stopping(header)
    if is_held(header):
        return False
    return WAITS[type(wait)].is_owed(rows, cursor, wait)


def owed_moves(rows: Rows, graph: Graph) -> list[str]:
    """The chains whose cursor's move is owed, in graph order."""
    header = get_header(rows)
    if header is None or header.phase != "running":
        return []
    if header.compensation == "started":
        return compensation.owed_chains(rows, graph)
    moves = [
        (graph.order(cursor.path), chain)
        for chain, cursor in get_cursors(rows)
        if is_move_owed(rows, header, cursor)
    ]
    return [chain for _, chain in sorted(moves)]


def is_request_owed(rows: Rows, at_ms: int) -> bool:
    """Whether the end of a run, or its pause, has nothing left to wait for at `at_ms`.

    Of a cancel, of a failure, or of all that is undone behind them.
    """
    header = get_header(rows)
    if header is None or header.phase in TERMINAL:
        return False
    if header.phase == "quarantined":  # nothing of it runs
        return header.cancel is not None and is_stopping(header)
    if header.compensation == "started":
        return not is_any_to_undo(rows)
    if not is_requested(header) or (
        not is_stopping(header) and header.phase == "paused"
    ):
        return False
    return not is_any_running(rows, header, at_ms)


def is_any_running(rows: Rows, header: Header, at_ms: int) -> bool:
    """Whether an attempt runs, or may, at `at_ms`."""
    return any(
        isinstance(cursor.wait, Awaiting)
        and task.is_running(header, cursor.wait, at_ms)
        for _, cursor in get_cursors(rows)
    )


# --- attempts and timers --------------------------------------------------------------


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class OwedAttempt:
    """An attempt to hand out, not before `not_before` (epoch ms; 0: at once).

    `begun` says that after a take-over it may have begun under the earlier owner,
    `withdrawn` that it was taken back and no event has wanted it since, `handed_out`
    that by the log an executor elsewhere has it.
    """

    run: int
    path: str
    attempt: int
    input: str
    not_before: int
    deadline_at: int | None
    begun: bool
    withdrawn: bool
    handed_out: bool = False


_new_owed_attempt = maker(OwedAttempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedTimer:
    """A time to wake the cursor of `chain`."""

    chain: str
    due_at: int


def owed_attempt(header: Header, cursor: Cursor, graph: Graph) -> OwedAttempt | None:
    """The attempt that the cursor awaits, if it is to be handed out."""
    wait = cursor.wait
    if not isinstance(wait, Awaiting) or header.phase != "running" or is_held(header):
        return None
    return _new_owed_attempt(
        run=header.run,
        path=cursor.path,
        attempt=wait.attempt,
        input=cursor.input,
        not_before=wait.not_before,
        deadline_at=wait.deadline_at,
        begun=may_have_begun(header, cursor, graph),
        withdrawn=task.is_withdrawn(header, wait),
        handed_out=bool(wait.secret_hash),
    )


def may_have_begun(header: Header, cursor: Cursor, graph: Graph) -> bool:
    """Whether an earlier owner may have begun the awaited attempt.

    With a time-out, its `DeadlineSet` says so. Without one, it may have as soon as it
    was due, or its backoff was over by the clock of that owner, which is not known any
    more. An attempt that was withdrawn in the middle, and is wanted again, has; none
    has that waits for a permit.
    """
    wait = cursor.wait
    if not isinstance(wait, Awaiting):
        return False
    if task.is_withdrawn(header, wait):
        return True
    place = graph.place(cursor.path)
    node = None if place is None else place.node
    if not isinstance(node, TaskNode):
        return True
    if node.concurrency is not None and not wait.permit:
        return False  # none begins before it has its permit
    return wait.deadline_at is not None or node.timeout_ms is None


def is_timer_held(header: Header, wait: Wait) -> bool:
    """Whether a requested pause, or what stops the run, holds such a wait back."""
    kind = WAITS[type(wait)]
    return (kind.is_timer_held and is_held(header)) or (
        kind.yields_to_stop and is_stopping(header)
    )


def owed_timer(header: Header, chain: str, cursor: Cursor) -> OwedTimer | None:
    """The time at which the cursor wakes by itself, if any.

    While a pause is requested or in force only deadlines fire; while a cancel is, only
    those of attempts. A limit, which has no phases, wakes when it may grant.
    """
    wait = cursor.wait
    may_wake = is_debouncing(wait) or isinstance(wait, Granting)
    if header.phase != "running" and not may_wake:
        return None
    kind = WAITS[type(wait)]
    due_at = kind.wakes_at(wait)
    if due_at is None or is_timer_held(header, wait):
        return None
    if kind.fires_at(wait) is None and due_at <= header.at:
        return None  # a backoff that is over: the attempt is owed without a timer
    return OwedTimer(chain=chain, due_at=due_at)
