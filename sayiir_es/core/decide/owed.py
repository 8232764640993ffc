"""What a snapshot says is owed: moves, attempts to hand out, timers to arm.

Pure functions of rows. They say the same live, where `advance` makes the moves and the
owner asks about the cursors that a decision changed, and after a crash, where the next
owner asks about all. Nothing else decides what runs. A requested cancel or pause holds
moves back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from sayiir_es.core.fast_frozen import fast_frozen
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.graph.paths import join
from sayiir_es.core.model.rows import (
    TERMINAL,
    Cursor,
    Header,
    Rows,
    get_buffered,
    get_cursor,
    get_cursors,
    get_header,
)
from sayiir_es.core.model.waits import (
    Awaiting,
    Branching,
    Broken,
    Ended,
    Inside,
    Listening,
    Looping,
    Routing,
    Sleeping,
)
from sayiir_es.core.nodes import loop, signal, task

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph


# --- moves ----------------------------------------------------------------------------


def is_held(header: Header) -> bool:
    """Whether a requested cancel or pause holds every move back."""
    return header.cancel is not None or header.pause is not None


def is_move(rows: Rows, header: Header, cursor: Cursor) -> bool:
    """Whether this cursor's next move is owed now.

    Of a fork it says so while a branch may be unopened; the move itself finds out.
    """
    wait = cursor.wait
    if isinstance(wait, Broken):
        return header.cancel is None
    if is_held(header):
        return False
    match wait:
        case Ended() | Branching():
            return True
        case Listening():
            return (
                bool(get_buffered(rows, wait.signal))
                and signal.oldest_wait(rows, wait.signal) == cursor.path
            )
        case Awaiting() | Sleeping():
            return False
        case Routing() | Looping() | Inside():
            return get_cursor(rows, inner_chain(cursor)) is None
        case _:
            assert_never(wait)


def inner_chain(cursor: Cursor) -> str:
    """The chain that a cursor at a route, loop or child waits for."""
    wait = cursor.wait
    if isinstance(wait, Routing):
        return join(cursor.path, wait.branch)
    if isinstance(wait, Looping):
        return loop.body_of(cursor.path, wait.iteration)
    return cursor.path


def owed_moves(rows: Rows, graph: Graph) -> list[str]:
    """The chains whose cursor's move is owed, in graph order."""
    header = get_header(rows)
    if header is None or header.phase != "running":
        return []
    found = [
        (graph.order(cursor.path), chain)
        for chain, cursor in get_cursors(rows)
        if is_move(rows, header, cursor)
    ]
    return [chain for _, chain in sorted(found)]


def is_request_owed(rows: Rows, at_ms: int) -> bool:
    """Whether a requested cancel or pause has nothing left to wait for at `at_ms`."""
    header = get_header(rows)
    if header is None or not is_held(header) or header.phase in TERMINAL:
        return False
    if header.cancel is None and header.phase == "paused":
        return False
    return not runs(rows, header, at_ms)


def runs(rows: Rows, header: Header, at_ms: int) -> bool:
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
    `withdrawn` that it was taken back and no event has wanted it since.
    """

    run: int
    path: str
    attempt: int
    input: str
    not_before: int
    deadline_at: int | None
    begun: bool
    withdrawn: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedTimer:
    """A time to wake the cursor of `chain`; `signal` for a wait's time-out."""

    chain: str
    due_at: int
    signal: bool


def owed_attempt(header: Header, cursor: Cursor, graph: Graph) -> OwedAttempt | None:
    """The attempt that the cursor awaits, if it is to be handed out."""
    wait = cursor.wait
    if not isinstance(wait, Awaiting) or header.phase != "running" or is_held(header):
        return None
    return OwedAttempt(
        run=header.run,
        path=cursor.path,
        attempt=wait.attempt,
        input=cursor.input,
        not_before=wait.not_before,
        deadline_at=wait.deadline_at,
        begun=may_have_begun(header, cursor, graph),
        withdrawn=task.is_withdrawn(header, wait),
    )


def may_have_begun(header: Header, cursor: Cursor, graph: Graph) -> bool:
    """Whether an earlier owner may have begun the awaited attempt.

    With a time-out its `DeadlineSet` tells. Without one, it may have as soon as it was
    due, or its backoff was over by that owner's clock, which nobody knows any more. An
    attempt that was withdrawn in the middle, and is wanted again, has.
    """
    wait = cursor.wait
    if not isinstance(wait, Awaiting):
        return False
    if task.is_withdrawn(header, wait):
        return True
    place = graph.place(cursor.path)
    timed = (
        place is not None
        and isinstance(place.node, TaskNode)
        and place.node.timeout_ms is not None
    )
    return wait.deadline_at is not None or not timed


def owed_timer(header: Header, chain: str, cursor: Cursor) -> OwedTimer | None:
    """The time at which the cursor wakes by itself, if any.

    While a pause is requested or in force only deadlines fire; while a cancel is, too.
    """
    if header.phase != "running":
        return None
    held = is_held(header)
    match cursor.wait:
        case Awaiting() as wait:
            if wait.deadline_at is not None:
                return OwedTimer(chain=chain, due_at=wait.deadline_at, signal=False)
            if wait.not_before > header.at:
                # Armed while a cancel or pause is requested too: what comes due then
                # counts as running, and must be withdrawn.
                return OwedTimer(chain=chain, due_at=wait.not_before, signal=False)
            return None
        case Sleeping() as wait:
            if held:
                return None
            return OwedTimer(chain=chain, due_at=wait.due_at, signal=False)
        case Listening() as wait:
            if held or wait.until_at is None:
                return None
            return OwedTimer(chain=chain, due_at=wait.until_at, signal=True)
        case Ended() | Broken() | Branching() | Routing() | Looping() | Inside():
            return None
        case _:
            assert_never(cursor.wait)
