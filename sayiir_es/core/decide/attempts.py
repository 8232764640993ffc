"""What is decided about attempts: outcomes, slots, deadlines, and lost owners.

The attempt token is (run, path, attempt). An outcome counts only while a cursor awaits
exactly that; anything else is answered by `OutcomeRejected` with a reason: `foreign`
(never handed out), `second` (that node has ended), `late` (it was, and is no more).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide.advance import advance
from sayiir_es.core.decide.owed import is_held
from sayiir_es.core.graph.lookup import Definitions, get_graph
from sayiir_es.core.graph.nodes import RouteNode, TaskNode
from sayiir_es.core.model.events import OutcomeRejected
from sayiir_es.core.model.inputs import Outcome, SlotTaken
from sayiir_es.core.model.rows import (
    TERMINAL,
    Cursor,
    Header,
    Rows,
    chain_of,
    get_cursor,
    get_cursors,
    get_value,
)
from sayiir_es.core.model.waits import Awaiting, Broken, Ended, Routing
from sayiir_es.core.nodes import route, task

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.graph import Graph


def handle_outcome(draft: Draft, outcome: Outcome, definitions: Definitions) -> None:
    """Record an outcome if its attempt is awaited; else say why it does not count."""
    header = draft.header
    reason = why_not_due(draft.rows, header, outcome, draft.now_ms)
    if reason is not None:
        if header is not None:
            draft.emit(
                OutcomeRejected(
                    path=outcome.path, attempt=outcome.attempt, reason=reason
                ),
                run=outcome.run,
            )
        return
    graph = draft.graph = get_graph(draft.rows, definitions)
    place = graph.place(outcome.path)
    if place is not None and isinstance(place.node, RouteNode):
        route.record(draft, place.node, outcome)
    else:
        task.record(draft, task_at(graph, outcome.path), outcome)
    advance(draft)


def why_not_due(
    rows: Rows, header: Header | None, outcome: Outcome, now_ms: int
) -> str | None:
    """Why an outcome does not count: `foreign`, `second` or `late`; None if it does."""
    if header is None or outcome.run > header.run:
        return "foreign"
    if outcome.run < header.run or header.phase in TERMINAL:
        return "late"
    cursor = get_cursor(rows, chain_of(outcome.path))
    if cursor is None:
        ended = get_value(rows, "result:" + outcome.path) is not None
        return "second" if ended else "foreign"
    wait = cursor.wait
    if cursor.path != outcome.path:
        return "late"
    if isinstance(wait, Ended | Broken | Routing):
        return "second"
    if not isinstance(wait, Awaiting) or outcome.attempt > wait.attempt:
        return "foreign"
    if outcome.attempt < wait.attempt:
        return "late"
    if task.is_withdrawn(header, wait):
        return "late"
    return "foreign" if wait.not_before > now_ms else None


def task_at(graph: Graph, path: str) -> TaskNode | None:
    """The task at `path`; None where another kind of node awaits an attempt."""
    place = graph.place(path)
    if place is None or not isinstance(place.node, TaskNode):
        return None
    return place.node


def time_out(draft: Draft, header: Header, cursor: Cursor, wait: Awaiting) -> None:
    """The awaited attempt's deadline has passed: it has failed, as by an error."""
    assert draft.graph is not None
    node = task_at(draft.graph, cursor.path)
    name = node.id if node is not None else cursor.path
    outcome = Outcome(
        instance_id=draft.instance_id,
        run=header.run,
        path=cursor.path,
        attempt=wait.attempt,
        result="failed",
        error_type="timeout",
        error=task.timeout_text(name, wait.timeout_ms or 0),
        timed_out=True,
    )
    task.record(draft, node, outcome)


def take_slot(draft: Draft, slot: SlotTaken, definitions: Definitions) -> None:
    """An attempt has its slot; record what must stand before its function runs."""
    header = draft.header
    wait = task.awaiting(draft.rows, slot.path)
    if (
        header is None
        or wait is None
        or header.run != slot.run
        or wait.attempt != slot.attempt
        or header.phase != "running"
        or is_held(header)
    ):
        return
    draft.cause = f"owed:{task.due_since(header, wait)}"
    draft.graph = get_graph(draft.rows, definitions)
    node = task_at(draft.graph, slot.path)
    task.begin(draft, node, slot.path, restart=slot.restart)


def take_over(draft: Draft, definitions: Definitions) -> None:
    """A new owner finds running attempts that nobody runs any more."""
    header = draft.header
    if header is None or header.phase != "running":
        return
    graph = draft.graph = get_graph(draft.rows, definitions)
    standing = sorted(
        (graph.order(cursor.path), cursor.path, cursor.wait)
        for _, cursor in get_cursors(draft.rows)
        if isinstance(cursor.wait, Awaiting)
        and task.is_running(header, cursor.wait, draft.now_ms)
    )
    for _, path, wait in standing:
        expired = wait.deadline_at is not None and wait.deadline_at <= draft.now_ms
        if header.cancel is not None or (header.pause is not None and not expired):
            task.withdraw(draft, path)
        elif wait.restarts >= draft.limits.max_restarts and not is_held(header):
            task.record(draft, task_at(graph, path), _lost(draft, header, path, wait))
    advance(draft)


def _lost(draft: Draft, header: Header, path: str, wait: Awaiting) -> Outcome:
    return Outcome(
        instance_id=draft.instance_id,
        run=header.run,
        path=path,
        attempt=wait.attempt,
        result="failed",
        error_type="worker_lost",
        error=(
            f"expected attempt {wait.attempt} to end, but it was begun "
            f"{wait.restarts + 1} times and its worker was lost each time"
        ),
    )
