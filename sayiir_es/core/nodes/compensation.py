"""Compensation: when a run fails or is cancelled, what its tasks did is undone.

Theory of operation. Each completed task that can be undone leaves a row. When the run
fails and there is one, or may be one since such a task still runs,
`CompensationRequested` stands in the place of `WorkflowFailed`: moves are held, and
what runs ends as under a cancel. When nothing runs, `CompensationStarted` takes all
cursors away, and the compensations are due, each at the path of its task and
`/@compensate`: an ordinary attempt with a cursor of its own.

The order is the reverse of that in which the tasks were completed. A compensation is
due when none stands in its way that is still to be done and whose task was completed
later; two in different branches of one fork never stand in each other's way. So what
was done side by side is undone side by side, and a fork before what came before it.

Of the tasks of one chain those of its last node are undone first. So behind the end of
one compensation only its own branch is looked at, and what is around it only when that
has nothing left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.graph.paths import compensation_path, is_compensation
from sayiir_es.core.graph.references import UNDO
from sayiir_es.core.model.compensation_events import (
    CompensationEnded,
    CompensationRequested,
    CompensationStarted,
)
from sayiir_es.core.model.errors import HistoryError
from sayiir_es.core.model.events import PositionUpdated
from sayiir_es.core.model.headers import header_after
from sayiir_es.core.model.rows import Changes, Ending, get_cursor, get_cursors
from sayiir_es.core.model.undo_rows import (
    PATH_AT,
    get_undoable,
    has_undoable,
    is_any_to_undo,
    is_to_undo,
    keys_to_undo,
    paths_to_undo,
    undo_key,
)
from sayiir_es.core.model.waits import (
    Awaiting,
    AwaitingRunPermit,
    Broken,
    Ended,
    HoldingRunPermit,
)
from sayiir_es.core.nodes import task
from sayiir_es.core.nodes.kinds import EventKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.rows import Cursor, Header, Rows


# --- decide ---------------------------------------------------------------------------


def may_be_due(draft: Draft) -> bool:
    """Whether a run that fails now has something to undo, or may have by its end."""
    rows, graph = draft.rows, draft.graph
    if not graph.has_compensations:
        return False
    return is_any_to_undo(rows) or any(
        isinstance(cursor.wait, Awaiting)
        and task.is_running(draft.header, cursor.wait, draft.now_ms)
        and can_be_undone(graph, cursor.path)
        for _, cursor in get_cursors(rows)
    )


def can_be_undone(graph: Graph, path: str) -> bool:
    """Whether the node at a path is a task that has a compensation."""
    node = task.task_at(graph, path)
    return node is not None and node.compensate is not None


def owed_chains(rows: Rows, graph: Graph) -> list[str]:
    """Tasks whose compensation has ended, or is due and not open, the last one first.

    Each is the chain of its compensation's cursor.
    """
    return [
        path
        for path in due(paths_to_undo(rows), graph)
        if is_owed(get_cursor(rows, path))
    ]


def is_owed(cursor: Cursor | None) -> bool:
    """Whether a compensation that is due with that cursor is to open, or to end."""
    return cursor is None or isinstance(cursor.wait, Ended | Broken)


def has_failed(cursor: Cursor | None) -> bool:
    """Whether it is the cursor of a compensation that could not undo."""
    return (
        cursor is not None
        and isinstance(cursor.wait, Broken)
        and is_compensation(cursor.path)
    )


def go_on(draft: Draft, path: str) -> None:
    """Open the compensation of the task at a path, or record that it has ended.

    Raises:
        HistoryError: if the task is not to be undone.
    """
    if not is_to_undo(draft.rows, path):
        raise HistoryError(f"expected a task to undo at {path!r}, but there is none")
    cursor = get_cursor(draft.rows, path)
    if cursor is None:
        undo = compensation_path(path)
        draft.emit(PositionUpdated(path=undo, attempt=1, input=UNDO + path))
        return
    undone = isinstance(cursor.wait, Ended)
    draft.emit(CompensationEnded(path=path, undone=undone))
    draft.touched.extend(reversed(due_behind(draft.rows, draft.graph, path)))


# --- the order ------------------------------------------------------------------------


def due(to_undo: Iterable[str], graph: Graph, inside: str = "") -> list[str]:
    """Which of the tasks are to be undone now; they stand with the last one first.

    All of them are in the chain of that prefix, or in what is inside its nodes.
    """
    found: list[str] = []
    seen: dict[str, int] = {}
    """How many of those before are in a branch, or anywhere in a fork."""
    for path in to_undo:
        around = [pair for pair in graph.forks_around(path) if _is_in(pair[0], inside)]
        branch, stands_free = inside, True
        for fork, inner in around:
            if seen.get(branch, 0) > seen.get(fork, 0):
                stands_free = False
                break
            branch = inner
        stands_free = stands_free and not seen.get(branch, 0)
        if not stands_free and branch == inside:
            break  # in the way of all that come behind, too
        if stands_free:
            found.append(path)
        for part in (inside, *(part for pair in around for part in pair)):
            seen[part] = seen.get(part, 0) + 1
    return found


def due_behind(rows: Rows, graph: Graph, path: str) -> list[str]:
    """Which tasks are to be undone since the one at a path is, or could not be."""
    keys = keys_to_undo(rows)  # of ten thousand branches each step looks at them
    for fork, branch in reversed(graph.forks_around(path)):
        inner, around = branch + "/", fork + "/"
        inside = [key for key in keys if key.startswith(inner, PATH_AT)]
        if inside:
            return due((key[PATH_AT:] for key in inside), graph, branch)
        if any(key.startswith(around, PATH_AT) for key in keys):
            return []  # another branch, which stands in the way of what is around it
    return due((key[PATH_AT:] for key in keys), graph)


def _is_in(path: str, prefix: str) -> bool:
    return not prefix or path.startswith(prefix + "/")


# --- evolve ---------------------------------------------------------------------------


def fold_requested(
    _rows: Rows, event: Event, body: CompensationRequested, header: Header
) -> Changes:
    """The run has failed, whatever was asked of it; what runs ends first."""
    return {
        "e": Ending(path=body.path, error_type=body.error_type, error=body.error),
        "h": header_after(header, event, compensation="requested"),
    }


def fold_started(
    rows: Rows, event: Event, body: CompensationStarted, header: Header
) -> Changes:
    """Nothing of the run goes on: its cursors go, but for that of the failure.

    It keeps its run permit, or its place among those that wait for one, to its end.
    """
    changes: Changes = {}
    row = rows.get("e")
    failed_at = row.path if isinstance(row, Ending) else ""
    for chain, cursor in get_cursors(rows):
        if isinstance(cursor.wait, AwaitingRunPermit | HoldingRunPermit):
            continue
        if cursor.path != failed_at or not isinstance(cursor.wait, Broken):
            changes["c" + chain] = None
    if header.cancel is not None:
        changes["e"] = Ending(
            reason=header.cancel.reason,
            requested_by=header.cancel.requested_by,
            interrupted_at=body.interrupted_at,
        )
    changes["h"] = header_after(header, event, phase="running", compensation="started")
    return changes


def fold_ended(
    rows: Rows, _event: Event, body: CompensationEnded, _header: Header
) -> Changes:
    """It is undone, or could not be: a retry of the run tries that again."""
    undoable = get_undoable(rows, body.path)
    if undoable is None:
        return {}
    sequence, _ = undoable
    after = undo_key("d" if body.undone else "n", sequence, body.path)
    return {
        "c" + body.path: None,
        undo_key("u", sequence, body.path): None,
        after: 1,
    }


def due_once_more(rows: Rows) -> Changes:
    """What could not be undone is to be undone after all."""
    changes: Changes = {}
    for key in rows.keys("n") if has_undoable(rows) else ():
        changes[key] = None
        changes["u" + key[1:]] = 1
    return changes


EVENTS = (
    EventKind(event=CompensationRequested, fold=fold_requested),
    EventKind(event=CompensationStarted, fold=fold_started),
    EventKind(event=CompensationEnded, fold=fold_ended),
)
