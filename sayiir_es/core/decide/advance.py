"""What follows from what happened: cursors move on until every one waits.

Theory of operation. A decision begins with one event or two (a start, an outcome, a
timer) that may leave cursors whose node has ended, or waits whose signal is there.
Their moves are *owed*: `advance` makes them, the last touched chain first, so that what
follows from one comes before the next opens. It stops when nothing moves, when the run
has ended, or when the decision is full; then the rest is owed still, and `owed_moves`
finds it from the rows alone, after a crash too. A requested cancel or pause holds every
move back and applies as soon as nothing runs; cancel wins. Before a cancel applies, or
a failure stands, what completed tasks did is undone.

A move whose event no batch takes (the output of a run, joined of many results) never
can be made: it fails where it stands, with `too_large`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from sayiir_es.core.decide.owed import (
    is_move_owed,
    is_request_owed,
    is_requested,
    is_stopping,
    owed_moves,
)
from sayiir_es.core.draft import DecisionCutError, EventTooLargeError
from sayiir_es.core.graph.references import resolve
from sayiir_es.core.model.compensation_events import CompensationStarted
from sayiir_es.core.model.errors import HistoryError
from sayiir_es.core.model.events import (
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowPaused,
)
from sayiir_es.core.model.rows import (
    TERMINAL,
    Cursor,
    chain_of,
    get_cursor,
    get_cursors,
    get_ending,
)
from sayiir_es.core.model.undo_rows import is_any_to_undo, is_to_undo, paths_to_undo
from sayiir_es.core.model.waits import Broken, Ended, Failure
from sayiir_es.core.nodes import compensation
from sayiir_es.core.nodes.failure import fail
from sayiir_es.core.nodes.registry import NODES, WAITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.draft import Draft
    from sayiir_es.core.model.rows import Header

T = TypeVar("T")

TOO_LARGE = "too_large"
"""The error type of a run that failed because an event of it fits no batch."""


def advance(draft: Draft) -> None:
    """Make the moves that are owed, as far as the decision has room."""
    while _make_moves(draft) and _apply_requests(draft) and draft.touched:
        pass


def _make_moves(draft: Draft) -> bool:
    """Make the moves in the chains that were touched; False if it has no room."""
    while draft.touched:
        header = draft.header
        if header.phase in TERMINAL:
            draft.touched.clear()
            break
        chain = draft.touched.pop()
        cursor = get_cursor(draft.rows, chain)
        if header.compensation == "started":
            is_done = _compensate(draft, chain, cursor)
        elif cursor is None or not is_move_owed(draft.rows, header, cursor):
            is_done = True
        elif isinstance(cursor.wait, Broken):
            # Never cut: a failure and what it does are one decision.
            fail(draft, cursor.path, cursor.wait.failure)
            is_done = True
        else:
            is_done = is_made(draft, _move, cursor)
        if not is_done:
            draft.cut = True
            return False
    return True


def _compensate(draft: Draft, path: str, cursor: Cursor | None) -> bool:
    """Go on with what undoes the task at `path`; False if the decision has no room."""
    if compensation.has_failed(cursor):
        # Never cut, as above: it has failed, and what could not be undone is known.
        compensation.go_on(draft, path)
        return True
    if not compensation.is_owed(cursor) or not is_to_undo(draft.rows, path):
        return True
    return is_made(draft, compensation.go_on, path)


def is_made(draft: Draft, move: Callable[[Draft, T], None], subject: T) -> bool:
    """Make a move that may as well come later; False if the decision has no room.

    `move` gets the draft and `subject`.
    """
    if draft.full():
        return False
    draft.is_cuttable = True
    try:
        move(draft, subject)
    except DecisionCutError:
        return False
    finally:
        draft.is_cuttable = False
    return True


def open_node(draft: Draft, path: str, reference: str) -> None:
    """A cursor arrives at `path`; `reference` names what flows in."""
    graph = draft.graph
    place = graph.place(path)
    if place is None:
        raise HistoryError(
            f"expected a node of workflow {graph.name!r} at {path!r}, but there is none"
        )
    node = place.node
    NODES[type(node)].open(draft, node, path, reference)


def _move(draft: Draft, cursor: Cursor) -> None:
    """Make the cursor's move, or fail if it never can be made.

    Raises:
        DecisionCutError: if the decision has no room for it.
    """
    wait = cursor.wait
    try:
        if isinstance(wait, Ended):
            _leave(draft, cursor.path, wait.result)
            return
        opening = WAITS[type(wait)].move(draft, cursor, wait)
        if opening is not None:
            open_node(draft, opening.path, opening.reference)
    except EventTooLargeError as error:
        path: str = getattr(error.body, "path", cursor.path)
        too_large = Failure(error_type=TOO_LARGE, error=str(error), timed_out=False)
        fail(draft, path, too_large)


def _leave(draft: Draft, path: str, result: str) -> None:
    """Leave the node at `path`, which has ended with `result`."""
    successor = draft.graph.successor(path)
    if successor is None:
        _end_chain(draft, chain_of(path), result)
    else:
        open_node(draft, successor, result)


def _end_chain(draft: Draft, chain: str, result: str) -> None:
    """A chain has ended with `result`: what is around it goes on, or the run ends."""
    container = draft.graph.container(chain)
    if container is not None:
        NODES[type(container.node)].end_chain(draft, container, result)
        return
    output = resolve(draft.rows, draft.graph, result)
    draft.emit(WorkflowCompleted(output=output))


def _apply_requests(draft: Draft) -> bool:
    """End what was asked to end, or has failed, if it can; False if it has no room."""
    header = draft.header
    if not is_requested(header) and header.compensation == "none":
        return True
    if is_request_owed(draft.rows, draft.now_ms):
        draft.cut = not is_made(draft, _apply_request, header)
    return not draft.cut


def _apply_request(draft: Draft, header: Header) -> None:
    rows = draft.rows
    if header.compensation == "started":
        _end_run(draft)
    elif not is_stopping(header):
        assert header.pause is not None
        draft.emit(
            WorkflowPaused(
                reason=header.pause.reason, requested_by=header.pause.requested_by
            )
        )
    elif is_any_to_undo(rows) and header.phase != "quarantined":
        draft.emit(
            CompensationStarted(
                reason="failed" if header.cancel is None else "cancelled",
                interrupted_at=_interrupted(draft),
            )
        )
        draft.touched.extend(reversed(owed_moves(draft.rows, draft.graph)))
    else:
        _end_run(draft)


def _end_run(draft: Draft) -> None:
    """End a run that was cancelled, or has failed; what was undone is known by now."""
    header, rows = draft.header, draft.rows
    ending = get_ending(rows)
    compensated = _listed(draft, paths_to_undo(rows, "d"))
    not_compensated = _listed(draft, paths_to_undo(rows, "n") + paths_to_undo(rows))
    if header.cancel is None:
        assert ending is not None
        draft.emit(
            WorkflowFailed(
                path=ending.path,
                error_type=ending.error_type,
                error=ending.error,
                compensated=compensated,
                not_compensated=not_compensated,
            )
        )
        return
    is_undone = header.compensation == "started" and ending is not None
    draft.emit(
        WorkflowCancelled(
            reason=header.cancel.reason,
            requested_by=header.cancel.requested_by,
            interrupted_at=(
                ending.interrupted_at if is_undone and ending else _interrupted(draft)
            ),
            compensated=compensated,
            not_compensated=not_compensated,
        )
    )


def _interrupted(draft: Draft) -> tuple[str, ...]:
    """The paths at which something was waited for, in graph order."""
    paths = [
        cursor.path
        for _, cursor in get_cursors(draft.rows)
        if WAITS[type(cursor.wait)].status is not None
    ]
    paths.sort(key=draft.graph.order)
    return _listed(draft, paths)


def _listed(draft: Draft, paths: list[str]) -> tuple[str, ...]:
    """As many of the paths as an event lists."""
    kept: list[str] = []
    room = draft.limits.interrupted_bytes
    for path in paths[: draft.limits.interrupted_paths]:
        room -= len(path.encode())
        if room < 0 and kept:
            break
        kept.append(path)
    return tuple(kept)
