"""What is decided about attempts: outcomes, slots, deadlines, and lost owners.

The attempt token is (run, path, attempt). An outcome counts only while a cursor awaits
exactly that; anything else is answered by `OutcomeRejected` with a reason: `foreign`
(never handed out), `second` (that node has ended), `late` (it was, and is no more).
"""

from __future__ import annotations

from dataclasses import replace

from sayiir_es.core.decide.advance import TOO_LARGE, advance, is_made
from sayiir_es.core.decide.basis import basis_of, draft_in_run
from sayiir_es.core.decide.owed import is_held, is_stopping
from sayiir_es.core.draft import (
    Basis,
    Decision,
    DecisionContext,
    Draft,
    EventTooLargeError,
    nothing,
    record,
)
from sayiir_es.core.graph.key_templates import UNREADABLE_KEY
from sayiir_es.core.graph.lookup import get_graph
from sayiir_es.core.graph.nodes import Node, RouteNode, TaskNode
from sayiir_es.core.model.events import OutcomeRejected
from sayiir_es.core.model.headers import header_of
from sayiir_es.core.model.inputs import Outcome, SlotTaken, TakenOver
from sayiir_es.core.model.rows import (
    TERMINAL,
    Header,
    Rows,
    chain_of,
    get_cursor,
    get_cursors,
    get_value,
)
from sayiir_es.core.model.waits import Awaiting, Broken, Ended, Routing
from sayiir_es.core.nodes import route, task
from sayiir_es.core.nodes.try_node import was_left

_NOTHING_AWAITED = TERMINAL | {"quarantined"}
"""Phases of a run in which no attempt of it is awaited."""


def handle_outcome(
    outcome: Outcome, rows: Rows, context: DecisionContext, room: int
) -> Decision:
    """Record an outcome if its attempt is awaited; else say why it does not count."""
    cause = f"outcome:{outcome.path}#{outcome.attempt}"
    basis = basis_of(outcome.instance_id, cause, rows, context, room)
    reason = why_not_due(rows, basis.header, outcome, context.now_ms)
    if reason is not None:
        return reject_outcome(basis, outcome, reason)
    return record_outcome(basis, outcome)


def record_outcome(basis: Basis, outcome: Outcome) -> Decision:
    """Record an outcome that is due, and what follows from it.

    One of an attempt with a time-out that has not begun is rejected: it is of an
    execution that was withdrawn, for a pause or a cancel, and went on behind it.
    """
    draft = draft_in_run(basis)
    place = draft.graph.place(outcome.path)
    node = None if place is None else place.node
    if _has_not_begun(outcome, basis.rows, node):
        return reject_outcome(basis, outcome, "late")
    try:
        _record(draft, node, outcome)
    except EventTooLargeError as error:
        # Its event is the first: nothing was recorded, and the attempt has failed.
        _record(draft, node, _too_large(outcome, error))
    advance(draft)
    return draft.decision()


def reject_outcome(basis: Basis, outcome: Outcome, reason: str) -> Decision:
    """Say that an outcome does not count: it is late, second or foreign."""
    if not basis.header.sequence:
        return nothing(basis.instance_id)
    rejected = OutcomeRejected(
        path=outcome.path, attempt=outcome.attempt, reason=reason
    )
    return record(basis, rejected, run=outcome.run)


def _record(draft: Draft, node: Node | None, outcome: Outcome) -> None:
    if isinstance(node, RouteNode):
        route.record(draft, node, outcome)
    else:
        task.record(draft, node if isinstance(node, TaskNode) else None, outcome)


def _too_large(outcome: Outcome, error: EventTooLargeError) -> Outcome:
    """The failure of an attempt whose outcome fits no batch."""
    return replace(
        outcome,
        result="failed",
        output=None,
        loop="none",
        error_type=TOO_LARGE,
        error=str(error),
        retriable=False,
    )


def why_not_due(
    rows: Rows, header: Header, outcome: Outcome, now_ms: int
) -> str | None:
    """Why an outcome does not count: `foreign`, `second` or `late`; None if it does."""
    if outcome.run > header.run:
        return "foreign"
    if outcome.run < header.run or header.phase in _NOTHING_AWAITED:
        return "late"
    cursor = get_cursor(rows, chain_of(outcome.path))
    if cursor is None:
        if get_value(rows, "result:" + outcome.path) is not None:
            return "second"
        # When what was done is undone, no cursor of the run is left.
        is_left = header.compensation == "started" or was_left(rows, outcome.path)
        return "late" if is_left else "foreign"
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


def _has_not_begun(outcome: Outcome, rows: Rows, node: Node | None) -> bool:
    """Whether the awaited attempt with a time-out has no deadline: it has not begun."""
    if outcome.result == "withdrawn" or not isinstance(node, TaskNode):
        return False
    if outcome.error_type == UNREADABLE_KEY:  # so that it never will
        return False
    if node.timeout_ms is None:
        return False
    wait = task.awaiting(rows, outcome.path)
    return wait is not None and task.timeout_to_set(node, wait) is not None


def take_slot(
    slot: SlotTaken, rows: Rows, context: DecisionContext, room: int
) -> Decision:
    """An attempt has its slot; record what must stand before its function runs."""
    header, wait = header_of(rows), task.awaiting(rows, slot.path)
    if (
        wait is None
        or header.run != slot.run
        or wait.attempt != slot.attempt
        or header.phase != "running"
        or is_held(header)
    ):
        return nothing(slot.instance_id)
    graph = get_graph(rows, context.definitions)
    node = task.task_at(graph, slot.path)
    if (
        not slot.restart
        and slot.handout is None
        and task.timeout_to_set(node, wait) is None
    ):
        return nothing(slot.instance_id)
    cause = f"owed:{task.due_since(header, wait)}"
    draft = Draft(basis_of(slot.instance_id, cause, rows, context, room), graph)
    task.begin(draft, node, slot.path, restart=slot.restart, handout=slot.handout)
    return draft.decision()


def take_over(
    takeover: TakenOver, rows: Rows, context: DecisionContext, room: int
) -> Decision:
    """A new owner finds running attempts that nobody runs any more.

    Those that an executor elsewhere has are not among them: it may still bring their
    outcome, and they are lost when nothing is heard of them.
    """
    header = header_of(rows)
    if header.phase != "running":
        return nothing(takeover.instance_id)
    cause = f"takeover:{context.claim}"
    draft = draft_in_run(basis_of(takeover.instance_id, cause, rows, context, room))
    graph = draft.graph
    running = sorted(
        (graph.order(cursor.path), cursor.path, cursor.wait)
        for _, cursor in get_cursors(rows)
        if isinstance(cursor.wait, Awaiting)
        and not cursor.wait.secret_hash
        and task.is_running(header, cursor.wait, draft.now_ms)
    )
    for _, path, wait in running:
        header = draft.header  # a loss before may have ended the run, or a part of it
        if header.phase in TERMINAL:
            break
        if task.awaiting(draft.rows, path) is None:
            continue  # an error that was caught has ended what it stood in
        expired = wait.deadline_at is not None and wait.deadline_at <= draft.now_ms
        if is_stopping(header) or (header.pause is not None and not expired):
            if not is_made(draft, task.withdraw, path):
                draft.cut = True  # a take-over finds the rest
                return draft.decision()
        elif wait.restarts >= draft.limits.max_restarts and not is_held(header):
            lost = worker_lost(draft.instance_id, header, path, wait)
            task.record(draft, task.task_at(graph, path), lost)
            advance(draft)
            if draft.cut:
                return draft.decision()
    advance(draft)
    return draft.decision()


def worker_lost(instance_id: str, header: Header, path: str, wait: Awaiting) -> Outcome:
    """The failure of an attempt that was lost each time, as often as may be."""
    return Outcome(
        instance_id=instance_id,
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
