"""What follows from what happened: cursors move on until every one waits.

Theory of operation. A decision begins with one event or two (a start, an outcome, a
timer) that may leave cursors whose node has ended, or waits whose signal is there.
Their moves are *owed*: `advance` makes them, the last touched chain first, so that what
follows from one comes before the next opens. It stops when nothing moves, when the run
has ended, or when the decision is full; then the rest is owed still, and `owed_moves`
finds it from the rows alone, after a crash too. A requested cancel or pause holds every
move back and applies as soon as nothing runs; cancel wins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide.owed import is_held, is_move_owed, is_request_owed
from sayiir_es.core.graph.references import resolve
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
)
from sayiir_es.core.model.waits import Broken, Ended
from sayiir_es.core.nodes.registry import NODES, WAITS

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft


def advance(draft: Draft) -> None:
    """Make the moves that are owed, as far as the decision has room."""
    while draft.touched:
        header = draft.header
        if header.phase in TERMINAL:
            break
        cursor = get_cursor(draft.rows, draft.touched.pop())
        if cursor is None:
            continue
        if isinstance(cursor.wait, Broken) and header.cancel is None:
            # Never cut: a failure and the end of its run are one decision.
            fail(draft, cursor.path, cursor.wait)
        elif is_move_owed(draft.rows, header, cursor) and (
            draft.full() or not _move(draft, cursor)
        ):
            draft.cut = True
            return
    _apply_requests(draft)


def fail(draft: Draft, path: str, broken: Broken) -> None:
    """The run fails at `path`."""
    draft.emit(
        WorkflowFailed(
            path=path,
            error_type=broken.failure.error_type,
            error=broken.failure.error,
        )
    )


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


def _move(draft: Draft, cursor: Cursor) -> bool:
    """Make the cursor's move; False if the decision has no room for it."""
    wait = cursor.wait
    if isinstance(wait, Ended):
        successor = draft.graph.successor(cursor.path)
        if successor is None:
            return _end_chain(draft, chain_of(cursor.path), wait.result)
        open_node(draft, successor, wait.result)
        return True
    opening = WAITS[type(wait)].move(draft, cursor, wait)
    if opening is not None:
        open_node(draft, opening.path, opening.reference)
    return True


def _end_chain(draft: Draft, chain: str, result: str) -> bool:
    """A chain has ended with `result`: what is around it goes on, or the run ends."""
    container = draft.graph.container(chain)
    if container is not None:
        return NODES[type(container.node)].end_chain(draft, container, result)
    output = resolve(draft.rows, draft.graph, result)
    if draft.full(len(output)):
        return False
    draft.emit(WorkflowCompleted(output=output))
    return True


def _apply_requests(draft: Draft) -> None:
    header = draft.header
    if not is_held(header) or not is_request_owed(draft.rows, draft.now_ms):
        return
    if draft.full():
        draft.cut = True
        return
    if header.cancel is not None:
        draft.emit(
            WorkflowCancelled(
                reason=header.cancel.reason,
                requested_by=header.cancel.requested_by,
                interrupted_at=_interrupted(draft),
            )
        )
    elif header.pause is not None:
        draft.emit(
            WorkflowPaused(
                reason=header.pause.reason, requested_by=header.pause.requested_by
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
    return tuple(paths[: draft.limits.interrupted_paths])
