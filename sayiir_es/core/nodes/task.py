"""A task: attempts, retries, deadlines; also the join behind a fork.

Life of an attempt: `PositionUpdated` makes it due. When it has a slot and the task has
a time-out, `DeadlineSet` begins it. It ends with `TaskCompleted`, or it failed:
`RetryRecorded` makes the next attempt due at `next_retry_at`, `TaskFailed` ends the
run, or what catches it goes on. `AttemptWithdrawn` takes it back without an outcome;
`AttemptRestarted` says that it takes a slot again after it was withdrawn, or may have
begun under an owner that is gone. `AttemptPublished` hands it to an executor elsewhere,
which gets a secret with it.

An outcome counts only for the attempt that is awaited (its token is run, path and
attempt); any other becomes `OutcomeRejected`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.core.backoff import retry_delay_ms
from sayiir_es.core.fast_frozen import maker
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.graph.paths import node_name
from sayiir_es.core.instants import instant
from sayiir_es.core.model.attempt_events import SECRET_HASH_BYTES, AttemptPublished
from sayiir_es.core.model.events import (
    AttemptRestarted,
    AttemptWithdrawn,
    DeadlineCleared,
    DeadlineSet,
    Event,
    PositionUpdated,
    RetryRecorded,
    TaskCompleted,
    TaskFailed,
)
from sayiir_es.core.model.headers import is_stopping
from sayiir_es.core.model.inputs import Outcome
from sayiir_es.core.model.limits import clip
from sayiir_es.core.model.rows import (
    Changes,
    Cursor,
    Header,
    Rows,
    chain_of,
    get_cursor,
)
from sayiir_es.core.model.undo_rows import undoable_rows
from sayiir_es.core.model.waits import (
    Awaiting,
    Broken,
    Ended,
    ErrorDetails,
    Failure,
)
from sayiir_es.core.nodes.kinds import EventKind, NodeKind, WaitKind

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.graph.nodes import Concurrency, Node
    from sayiir_es.core.model.inputs import Handout

EARLIER_HASHES_MAX = 4
"""How many hand-outs of one attempt are remembered: an outcome of an earlier one is
late, where an unknown secret is refused."""

# Of the values that are made with each step.
_new_cursor, _new_awaiting, _new_ended = maker(Cursor), maker(Awaiting), maker(Ended)
_new_position_updated, _new_task_completed = (
    maker(PositionUpdated),
    maker(TaskCompleted),
)


# --- decide ---------------------------------------------------------------------------


def open_task(draft: Draft, _node: TaskNode, path: str, reference: str) -> None:
    """The cursor arrives: attempt 1 is due."""
    draft.emit(_new_position_updated(path=path, attempt=1, input=reference))


def begin(
    draft: Draft,
    node: TaskNode | None,
    path: str,
    *,
    restart: bool,
    handout: Handout | None = None,
) -> None:
    """The attempt takes its slot; what must stand before the function runs.

    `node` is None for the key function of a route, which has no time-out. Emits
    nothing for what has none and did not begin before: then the slot leaves no trace.
    A restart counts where a worker was lost, not where the attempt was withdrawn: a
    worker that stops withdraws what it abandons.
    """
    header, wait = draft.header, awaiting(draft.rows, path)
    if wait is None:
        return
    if restart:
        restarts = wait.restarts + (not is_withdrawn(header, wait))
        draft.emit(AttemptRestarted(path=path, attempt=wait.attempt, restarts=restarts))
    timeout_ms = timeout_to_set(node, wait)
    if timeout_ms is not None:
        draft.emit(
            DeadlineSet(
                path=path,
                attempt=wait.attempt,
                deadline_at=draft.now_ms + timeout_ms,
                timeout_ms=timeout_ms,
            )
        )
    if handout is not None:
        draft.emit(
            AttemptPublished(
                path=path,
                attempt=wait.attempt,
                secret_hash=handout.secret_hash,
                executor=handout.executor,
                lease_ms=handout.lease_ms,
            )
        )


def timeout_to_set(node: TaskNode | None, wait: Awaiting) -> int | None:
    """The time-out with which the attempt begins; None if it has none, or has begun."""
    return node.timeout_ms if node is not None and wait.deadline_at is None else None


def record(draft: Draft, node: TaskNode | None, outcome: Outcome) -> None:
    """The awaited attempt ended; to go on is owed."""
    if outcome.result == "withdrawn":
        withdraw(draft, outcome.path)
        return
    if outcome.result == "completed":
        draft.emit(
            _new_task_completed(
                path=outcome.path,
                attempt=outcome.attempt,
                output=outcome.output or b"",
                loop=outcome.loop,
                worker=outcome.worker,
                compensable=node is not None and node.compensate is not None,
            )
        )
    else:
        fail(draft, node, outcome)
    draft.touched.append(chain_of(outcome.path))


def fail(draft: Draft, node: TaskNode | None, outcome: Outcome) -> None:
    """The attempt failed: one more, if the policy has one left, else the end."""
    details = outcome.details
    failed = TaskFailed(
        path=outcome.path,
        attempt=outcome.attempt,
        error_type=outcome.error_type,
        error=clip(outcome.error, draft.limits.error_bytes),
        timed_out=outcome.timed_out,
        worker=outcome.worker,
        error_class=details.error_class,
        source_line=details.source_line,
        causes=details.causes,
        traceback=details.traceback,
        error_bases=outcome.error_bases,
    )
    next_retry_at = _next_retry_at(draft, node, outcome)
    if next_retry_at is None:
        draft.emit(failed)
        return
    draft.emit(
        RetryRecorded(
            path=failed.path,
            attempt=failed.attempt,
            error_type=failed.error_type,
            error=failed.error,
            timed_out=failed.timed_out,
            next_retry_at=next_retry_at,
            worker=failed.worker,
            error_class=failed.error_class,
            source_line=failed.source_line,
            causes=failed.causes,
            traceback=failed.traceback,
        )
    )


def _next_retry_at(draft: Draft, node: TaskNode | None, outcome: Outcome) -> int | None:
    """When the next attempt is due; None where none follows."""
    header, retry = draft.header, None if node is None else node.retry
    if (
        retry is None
        or not outcome.retriable
        or outcome.attempt > retry.max_retries
        or is_stopping(header)
    ):
        return None
    seed = f"{draft.instance_id}/{header.run}/{outcome.path}"
    at_ms = draft.now_ms + retry_delay_ms(retry, outcome.attempt, seed)
    wait = awaiting(draft.rows, outcome.path)
    if retry.max_elapsed_ms is not None and wait is not None:
        return at_ms if at_ms <= wait.since + retry.max_elapsed_ms else None
    return at_ms


def withdraw(draft: Draft, path: str) -> None:
    """The attempt comes back without an outcome."""
    wait = awaiting(draft.rows, path)
    if wait is None:
        return
    withdrawn = AttemptWithdrawn(path=path, attempt=wait.attempt)
    if wait.deadline_at is None:
        draft.emit(withdrawn)
    else:
        draft.emit_together(withdrawn, DeadlineCleared(path=path, attempt=wait.attempt))


def time_out(draft: Draft, cursor: Cursor, wait: Awaiting) -> None:
    """The awaited attempt's deadline has passed: it has failed, as by an error."""
    node = task_at(draft.graph, cursor.path)
    name = node.id if node is not None else cursor.path
    outcome = Outcome(
        instance_id=draft.instance_id,
        run=draft.header.run,
        path=cursor.path,
        attempt=wait.attempt,
        result="failed",
        error_type="timeout",
        error=timeout_text(name, wait.timeout_ms or 0),
        timed_out=True,
    )
    record(draft, node, outcome)


def task_at(graph: Graph, path: str) -> TaskNode | None:
    """The task at `path`; None where another kind of node awaits an attempt."""
    place = graph.place(path)
    if place is None or not isinstance(place.node, TaskNode):
        return None
    return place.node


def timeout_text(node_id: str, timeout_ms: int) -> str:
    """The error text of an attempt that was timed out."""
    if timeout_ms % 1000:
        return f"Task {node_id!r} timed out after {timeout_ms}ms"
    return f"Task {node_id!r} timed out after {timeout_ms // 1000}s"


# --- what the rows say ----------------------------------------------------------------


def awaiting(rows: Rows, path: str) -> Awaiting | None:
    """What the cursor at `path` awaits, if it stands there and awaits an attempt."""
    cursor = get_cursor(rows, chain_of(path))
    if cursor is None or cursor.path != path or not isinstance(cursor.wait, Awaiting):
        return None
    return cursor.wait


def is_withdrawn(header: Header, wait: Awaiting) -> bool:
    """Whether the attempt was withdrawn, and no unpause wanted it again."""
    return wait.withdrawn > header.unpaused


def is_running(header: Header, wait: Awaiting, at_ms: int) -> bool:
    """Whether the attempt may run at `at_ms`: not withdrawn, and not backing off.

    While the instance is paused none begins, also not one whose backoff is over, and
    none while its run waits in a start queue.
    """
    return (
        header.phase != "paused"
        and not header.queued
        and not is_withdrawn(header, wait)
        and wait.not_before <= at_ms
    )


def due_since(header: Header, wait: Awaiting) -> int:
    """The sequence of the event that made the attempt due."""
    if wait.withdrawn and header.unpaused > wait.withdrawn:
        return header.unpaused
    return wait.due


def wakes_at(wait: Awaiting) -> int | None:
    """When the deadline passes, or else the backoff is over.

    A deadline is set when the attempt begins, so its backoff is over then.
    """
    if wait.deadline_at is not None:
        return wait.deadline_at
    return wait.not_before or None


def deadline(wait: Awaiting) -> int | None:
    """When the deadline passes. The end of a backoff is not recorded."""
    return wait.deadline_at


# --- evolve ---------------------------------------------------------------------------


def fold_position(
    _rows: Rows, event: Event, body: PositionUpdated, _header: Header
) -> Changes:
    """The chain's cursor waits for the attempt."""
    return {
        "c" + chain_of(body.path): _new_cursor(
            path=body.path,
            input=body.input,
            wait=_new_awaiting(
                attempt=body.attempt, due=event.sequence, since=event.at
            ),
        )
    }


def fold_completed(
    rows: Rows, event: Event, body: TaskCompleted, _header: Header
) -> Changes:
    """The result is kept under its reference; moving on is owed."""
    chain = chain_of(body.path)
    cursor = get_cursor(rows, chain)
    reference = "result:" + body.path
    changes: Changes = {"v" + reference: body.output}
    if cursor is not None and cursor.path == body.path:
        changes["c" + chain] = _new_cursor(
            path=body.path,
            input=cursor.input,
            wait=_new_ended(result=reference),
        )
        if body.compensable:
            changes |= undoable_rows(event.sequence, body.path, cursor.input)
    if body.loop != "none":
        changes["l" + reference] = body.loop
    return changes


def fold_attempt(
    rows: Rows,
    event: Event,
    body: DeadlineSet | DeadlineCleared | AttemptWithdrawn | AttemptRestarted,
    _header: Header,
) -> Changes:
    """The awaited attempt begins, stops, or begins again."""
    cursor, wait = _awaited(rows, body.path)
    if cursor is None or wait is None:
        return {}
    deadline_at, timeout_ms = wait.deadline_at, wait.timeout_ms
    withdrawn, restarts, permit = wait.withdrawn, wait.restarts, wait.permit
    if isinstance(body, AttemptWithdrawn | AttemptRestarted):
        wait = _taken_back(wait)
    match body:
        case DeadlineSet():
            deadline_at, timeout_ms, withdrawn = body.deadline_at, body.timeout_ms, 0
        case DeadlineCleared():
            deadline_at, timeout_ms = None, None
        case AttemptWithdrawn():
            withdrawn, permit = event.sequence, ""
        case AttemptRestarted():
            withdrawn, restarts = 0, body.restarts
    changed = Awaiting(
        attempt=wait.attempt,
        due=wait.due,
        not_before=wait.not_before,
        deadline_at=deadline_at,
        timeout_ms=timeout_ms,
        withdrawn=withdrawn,
        restarts=restarts,
        failure=wait.failure,
        since=wait.since,
        permit=permit,
        secret_hash=wait.secret_hash,
        executor=wait.executor,
        lease_ms=wait.lease_ms,
        earlier_hashes=wait.earlier_hashes,
    )
    return _moved_to(cursor, changed)


def fold_published(
    rows: Rows, _event: Event, body: AttemptPublished, _header: Header
) -> Changes:
    """The awaited attempt is handed to an executor: its secret is the one that counts.

    It begins there, if it was withdrawn before.
    """
    cursor, wait = _awaited(rows, body.path)
    if cursor is None or wait is None:
        return {}
    wait = _taken_back(wait)
    handed_out = _new_awaiting(
        attempt=wait.attempt,
        due=wait.due,
        not_before=wait.not_before,
        deadline_at=wait.deadline_at,
        timeout_ms=wait.timeout_ms,
        restarts=wait.restarts,
        failure=wait.failure,
        since=wait.since,
        permit=wait.permit,
        secret_hash=body.secret_hash,
        executor=body.executor,
        lease_ms=body.lease_ms,
        earlier_hashes=wait.earlier_hashes,
    )
    return _moved_to(cursor, handed_out)


def _taken_back(wait: Awaiting) -> Awaiting:
    """Nobody elsewhere has the attempt any more: what it was handed out with is old."""
    if not wait.secret_hash:
        return wait
    earlier = wait.earlier_hashes + wait.secret_hash
    return replace(
        wait,
        secret_hash=b"",
        executor="",
        lease_ms=0,
        earlier_hashes=earlier[-EARLIER_HASHES_MAX * SECRET_HASH_BYTES :],
    )


def fold_retry(
    rows: Rows, event: Event, body: RetryRecorded, _header: Header
) -> Changes:
    """The cursor waits for the next attempt, not before its time."""
    cursor, wait = _awaited(rows, body.path)
    if cursor is None or wait is None:
        return {}
    changed = Awaiting(
        attempt=body.attempt + 1,
        due=event.sequence,
        not_before=body.next_retry_at,
        failure=failure_of(body),
        since=wait.since,
    )
    return _moved_to(cursor, changed)


def fold_failed(
    rows: Rows, _event: Event, body: TaskFailed, _header: Header
) -> Changes:
    """No further attempt; the end of the run is owed."""
    chain = chain_of(body.path)
    cursor = get_cursor(rows, chain)
    if cursor is None or cursor.path != body.path:
        return {}
    broken = Broken(failure=failure_of(body))
    return {"c" + chain: Cursor(path=body.path, input=cursor.input, wait=broken)}


def failure_of(body: RetryRecorded | TaskFailed) -> Failure:
    """What the rows keep of a failed attempt."""
    return Failure(
        error_type=body.error_type,
        error=body.error,
        timed_out=body.timed_out,
        details=ErrorDetails(
            error_class=body.error_class,
            source_line=body.source_line,
            causes=body.causes,
            traceback=body.traceback,
        ),
        bases=body.error_bases if isinstance(body, TaskFailed) else (),
    )


def due_again(cursor: Cursor, event: Event) -> Cursor:
    """The cursor in the run that a retry begins: attempts begin at 1, clocks go on."""
    if not isinstance(cursor.wait, Awaiting | Broken):
        return cursor
    wait = Awaiting(attempt=1, due=event.sequence, since=event.at)
    return Cursor(path=cursor.path, input=cursor.input, wait=wait)


def due_with_all_its_time(cursor: Cursor, event: Event) -> Cursor:
    """The cursor behind a quarantine: nobody runs the attempt that it awaits."""
    wait = cursor.wait
    if not isinstance(wait, Awaiting):
        return cursor
    due = Awaiting(
        attempt=wait.attempt,
        due=event.sequence,
        not_before=wait.not_before,
        withdrawn=wait.withdrawn,
        restarts=wait.restarts,
        failure=wait.failure,
        since=wait.since,
    )
    return Cursor(path=cursor.path, input=cursor.input, wait=due)


def _awaited(rows: Rows, path: str) -> tuple[Cursor | None, Awaiting | None]:
    cursor = get_cursor(rows, chain_of(path))
    if cursor is None or cursor.path != path or not isinstance(cursor.wait, Awaiting):
        return None, None
    return cursor, cursor.wait


def _moved_to(cursor: Cursor, wait: Awaiting) -> Changes:
    return {
        "c" + chain_of(cursor.path): _new_cursor(
            path=cursor.path, input=cursor.input, wait=wait
        )
    }


# --- status ---------------------------------------------------------------------------


PERMIT_WANTED = "; waits for a permit of "
"""How a sentence goes on that says what limit an attempt waits for."""


def sentence(cursor: Cursor, wait: Awaiting, node: Node | None) -> str:
    """What a status says of it."""
    most = ""
    if isinstance(node, TaskNode) and node.retry is not None:
        most = f" of {node.retry.max_retries + 1}"
    text = f"task {cursor.path!r}, attempt {wait.attempt}{most}"
    if wait.failure is not None:
        # An error's text often begins with its type.
        kind, error = wait.failure.error_type, wait.failure.error[:120]
        text += f", after {error if error.startswith(kind) else f'{kind}: {error}'}"
        text += f", not before {instant(wait.not_before)}"
    if wait.executor:
        text += f", with executor {wait.executor!r}"
    if wait.deadline_at is not None:
        text += f", deadline {instant(wait.deadline_at)}"
    limited = node.concurrency if isinstance(node, TaskNode) else None
    if limited is not None and not wait.permit:
        text += f"{PERMIT_WANTED}{limited.key!r} ({said_of(limited)})"
    return text


def said_of(limited: Concurrency) -> str:
    """What a task says of its limit, for people."""
    said = [f"{limited.limit} at a time"] if limited.limit else []
    return ", ".join(said + ([] if limited.rate is None else [limited.rate]))


def searched_as(cursor: Cursor, wait: Awaiting) -> str:
    """By what searches find it: a retry, if the attempt before it failed."""
    kind = "task" if wait.failure is None else "retry"
    return f"{kind}:{node_name(cursor.path)}"


TASK = NodeKind(node=TaskNode, open=open_task)
AWAITING = WaitKind(
    wait=Awaiting,
    wakes_at=wakes_at,
    fires_at=deadline,
    # What comes due while a request stands counts as running, and must be withdrawn.
    is_timer_held=False,
    fire=time_out,
    status="in_progress",
    sentence=sentence,
    searched_as=searched_as,
)
EVENTS = (
    EventKind(event=PositionUpdated, fold=fold_position, references=("input",)),
    EventKind(event=TaskCompleted, fold=fold_completed),
    EventKind(event=DeadlineSet, fold=fold_attempt),
    EventKind(event=DeadlineCleared, fold=fold_attempt),
    EventKind(event=AttemptWithdrawn, fold=fold_attempt),
    EventKind(event=AttemptRestarted, fold=fold_attempt),
    EventKind(event=AttemptPublished, fold=fold_published),
    EventKind(event=RetryRecorded, fold=fold_retry),
    EventKind(event=TaskFailed, fold=fold_failed),
)
