"""A loop: its body runs until it says done, each iteration under paths of its own.

What ends the body marks its value `again` or `done`; nodes that pass a value on pass
the mark on. `LoopIterated` carries the iteration, the value and what follows: `again`
opens the next body with the value, `done` and `last` end the loop with it, `exceeded`
fails the run. The rows of an ended iteration leave the snapshot (they stay in the log),
so a loop of any length takes the room of one iteration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.graph.graph import first_path
from sayiir_es.core.graph.nodes import LoopNode
from sayiir_es.core.graph.references import mark_of, resolve
from sayiir_es.core.model.events import LoopIterated, LoopStarted
from sayiir_es.core.model.rows import Changes, Cursor, Rows, chain_of, get_cursor
from sayiir_es.core.model.undo_rows import has_undoable
from sayiir_es.core.model.waits import Broken, Ended, Failure, Looping
from sayiir_es.core.nodes.failure import fail
from sayiir_es.core.nodes.kinds import EventKind, NodeKind, Opening, WaitKind

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.graph import Container
    from sayiir_es.core.model.events import Event, LoopOutcome
    from sayiir_es.core.model.rows import Header


# --- decide ---------------------------------------------------------------------------


def open_loop(draft: Draft, _node: LoopNode, path: str, reference: str) -> None:
    """The cursor arrives; the move into the body is owed."""
    draft.emit(LoopStarted(path=path, input=reference))
    draft.touched.append(chain_of(path))


def is_unopened(rows: Rows, cursor: Cursor, wait: Looping) -> bool:
    """Whether the iteration's body has no cursor yet."""
    return get_cursor(rows, body_of(cursor.path, wait.iteration)) is None


def enter(draft: Draft, cursor: Cursor, wait: Looping) -> Opening:
    """The iteration begins."""
    node = draft.graph.node(cursor.path, LoopNode)
    body = body_of(cursor.path, wait.iteration)
    return Opening(path=first_path(body, node.body), reference=input_of(cursor, wait))


def body_of(path: str, iteration: int) -> str:
    """The chain of an iteration's body."""
    return f"{path}@{iteration}"


def input_of(cursor: Cursor, wait: Looping) -> str:
    """The reference of what flows into an iteration."""
    if wait.iteration == 0:
        return cursor.input
    return f"value:{cursor.path}@{wait.iteration - 1}"


def end_chain(draft: Draft, container: Container, result: str) -> None:
    """An iteration's body has ended with `result`."""
    node, path = draft.graph.node(container.path, LoopNode), container.path
    value = resolve(draft.rows, draft.graph, result)
    mark = mark_of(draft.rows, result)
    if mark == "none":
        error = (
            f"Failed to decode input for task {node.id!r} (expected LoopEnvelope): the "
            "body did not end with a LoopResult"
        )
        bad = Failure(error_type="bad_loop_result", error=error, timed_out=False)
        fail(draft, path, bad)
        return
    iterated = LoopIterated(
        path=path,
        iteration=container.iteration,
        value=value,
        outcome=outcome_of(node, container.iteration, mark),
    )
    if iterated.outcome == "exceeded":  # it and the end of its run are one decision
        fail(draft, path, exceeded_failure(iterated), iterated)
        return
    draft.emit(iterated)
    draft.touched.append(chain_of(path))


def outcome_of(node: LoopNode, iteration: int, mark: str) -> LoopOutcome:
    """What follows the end of an iteration (from 0)."""
    if mark == "done":
        return "done"
    if iteration + 1 < node.max_iterations:
        return "again"
    return "last" if node.on_max == "exit_with_last" else "exceeded"


# --- evolve ---------------------------------------------------------------------------


def fold_started(
    _rows: Rows, _event: Event, body: LoopStarted, _header: Header
) -> Changes:
    """The chain's cursor waits for the first iteration."""
    return {
        "c" + chain_of(body.path): Cursor(
            path=body.path, input=body.input, wait=Looping(iteration=0)
        )
    }


def fold_iterated(
    rows: Rows, _event: Event, body: LoopIterated, _header: Header
) -> Changes:
    """The iteration's rows go; its value stays until the next one's.

    Where a task in it can be undone, what it was given stays as long as the run.
    """
    chain = chain_of(body.path)
    cursor = get_cursor(rows, chain)
    if cursor is None or cursor.path != body.path:
        return {}
    changes: Changes = {}
    ended = body_of(body.path, body.iteration)
    changes["c" + ended] = None
    if has_undoable(rows, ended):
        changes.update(dict.fromkeys(rows.keys(f"c{ended}/")))
    else:
        changes.update(rows_of_iteration(rows, body.path, body.iteration))
    reference = f"value:{body.path}@{body.iteration}"
    changes["v" + reference] = body.value
    changes["c" + chain] = Cursor(
        path=body.path, input=cursor.input, wait=_wait_after(body, reference)
    )
    return changes


def rows_of_iteration(rows: Rows, path: str, iteration: int) -> Changes:
    """What an iteration needed leaves the snapshot; what it gave on stays."""
    changes = rows_inside(rows, f"{body_of(path, iteration)}/")
    if iteration:
        changes[f"vvalue:{path}@{iteration - 1}"] = None
    return changes


def rows_inside(rows: Rows, inside: str) -> Changes:
    """Rows of paths that begin so leave the snapshot, and signals consumed there."""
    changes: Changes = {}
    for prefix in ("c", "vresult:", "vvalue:", "lresult:", "x", "y", "a"):
        for key in rows.keys(prefix + inside):
            changes[key] = None
    for key in rows.keys("q" + inside):
        sequence = rows.get(key)
        assert isinstance(sequence, int)
        changes[key] = None
        changes[f"vsignal:{sequence}"] = None
    return changes


def _wait_after(body: LoopIterated, reference: str) -> Looping | Ended | Broken:
    match body.outcome:
        case "again":
            return Looping(iteration=body.iteration + 1)
        case "done" | "last":
            return Ended(result=reference)
        case "exceeded":
            return Broken(failure=exceeded_failure(body))


def exceeded_failure(body: LoopIterated) -> Failure:
    """Why a run fails whose loop may not go on."""
    count = body.iteration + 1
    error = f"Loop {body.path!r} exceeded max iterations ({count})"
    return Failure(error_type="max_iterations", error=error, timed_out=False)


LOOP = NodeKind(node=LoopNode, open=open_loop, end_chain=end_chain)
LOOPING = WaitKind(wait=Looping, is_owed=is_unopened, move=enter)
EVENTS = (
    EventKind(event=LoopStarted, fold=fold_started, references=("input",)),
    EventKind(event=LoopIterated, fold=fold_iterated),
)
