"""A new instance from any point of an old one: its history is recorded again.

Theory of operation. `WorkflowForked` is the first event of the new instance. The events
of the source follow in the same decision, as they are, each with its sequence + 1; what
names a sequence is moved along. So the new instance folds like any other, and whoever
reads it needs nothing of the source. Their time is now, the times they carry (a retry,
a delay, a deadline) stay: what has passed comes due at once.

An attempt of the source is none of the new instance: nobody here runs it. One that had
begun is taken back, so that it is owed afresh, with all of its time. What the source
had not done yet at that point is owed as after any cut, whatever stood there; only what
an owner never cuts apart is told here: a start from its first node, a time-out from the
failure that it is, a retry from the node that opens again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.core.decide.advance import advance, fail, open_node
from sayiir_es.core.decide.commands.retry import reopen
from sayiir_es.core.decide.owed import is_held, owed_moves
from sayiir_es.core.decide.rejections import reject
from sayiir_es.core.graph.nodes import SignalNode
from sayiir_es.core.model.events import (
    BranchCompleted,
    ChildCompleted,
    ChildStarted,
    CommandAcknowledged,
    DeadlineCleared,
    DelayStarted,
    ForkStarted,
    LoopStarted,
    OutcomeRejected,
    PositionUpdated,
    SignalConsumed,
    SignalTimedOut,
    WorkflowFailed,
    WorkflowForked,
    WorkflowRetried,
    WorkflowStarted,
)
from sayiir_es.core.model.rows import get_cursors
from sayiir_es.core.model.waits import Awaiting, Broken
from sayiir_es.core.nodes import signal, task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.graph.lookup import Definitions
    from sayiir_es.core.model.commands import ForkWorkflow
    from sayiir_es.core.model.events import Body, Event
    from sayiir_es.core.model.inputs import SourceHistory

BY_SEQUENCE = "signal:"
"""How a reference begins that names an event by its sequence."""


def fork_instance(
    draft: Draft,
    command: ForkWorkflow,
    source: SourceHistory,
    definitions: Definitions,
) -> None:
    """Answer a fork: record again what the log holds of the source."""
    refusal = _refusal(draft, command, source)
    if refusal is not None:
        reject(draft, command, *refusal)
        return
    started = _started(source.events)
    graph = definitions.by_digest(started.graph_digest) if started else None
    if started is None or graph is None:
        reject(draft, command, *_without_graph(command, started))
        return
    draft.graph = graph
    draft.emit(
        WorkflowForked(
            command_id=command.command_id,
            source_instance_id=command.source_instance_id,
            source_run=_run_of(source.events),
            source_sequence=command.source_sequence,
        )
    )
    for event in source.events:
        draft.emit(moved_along(event.body), run=event.run)
    _go_on(draft, graph)


def _refusal(
    draft: Draft, command: ForkWorkflow, source: SourceHistory
) -> tuple[str, str] | None:
    asked, sequence = command.source_instance_id, command.source_sequence
    if draft.header is not None:
        return (
            "already_exists",
            f"expected no instance {command.instance_id!r}, but it exists",
        )
    limit = draft.limits.copied_bytes
    if source.size > limit:
        return (
            "too_large",
            f"expected a history of at most {limit} bytes, but {source.size} bytes",
        )
    if source.unreadable:
        return (
            "not_found",
            f"expected a readable history of {asked!r}, but {source.unreadable}",
        )
    last = len(source.events)
    if last < sequence:
        seen = f"the last has {last}" if last else "there is none"
        return (
            "not_found",
            f"expected an event of {asked!r} with sequence {sequence}, but {seen}",
        )
    return None


def _without_graph(
    command: ForkWorkflow, started: WorkflowStarted | None
) -> tuple[str, str]:
    if started is None:
        return (
            "not_found",
            f"expected a run at {command.source_sequence}, but it starts later",
        )
    return (
        "unknown_workflow",
        f"expected the published graph {started.graph_digest[:16]}…, but there is none",
    )


def _started(events: Sequence[Event]) -> WorkflowStarted | None:
    for event in reversed(events):
        if isinstance(event.body, WorkflowStarted):
            return event.body
    return None


def _run_of(events: Sequence[Event]) -> int:
    """The run in which they end; a rejected outcome says that of its token."""
    return max(e.run for e in events if not isinstance(e.body, OutcomeRejected))


# --- what is recorded again -----------------------------------------------------------


def moved_along(body: Body) -> Body:
    """The same behind one more event: every sequence that it names is one higher."""
    match body:
        case (
            PositionUpdated()
            | DelayStarted()
            | ForkStarted()
            | LoopStarted()
            | ChildStarted()
        ):
            return replace(body, input=_reference(body.input))
        case BranchCompleted() | ChildCompleted():
            return replace(body, result=_reference(body.result))
        case SignalConsumed():
            return replace(body, signal_sequence=body.signal_sequence + 1)
        case CommandAcknowledged(answered_by=sequence) if sequence:
            return replace(body, answered_by=sequence + 1)
        case _:
            return body


def _reference(reference: str) -> str:
    if not reference.startswith(BY_SEQUENCE):
        return reference
    return f"{BY_SEQUENCE}{int(reference[len(BY_SEQUENCE) :]) + 1}"


# --- what follows ---------------------------------------------------------------------


def _go_on(draft: Draft, graph: Graph) -> None:
    header, last = draft.header, draft.events[-1].body
    if header is None or header.phase != "running":
        return  # what had ended, or paused, has here
    if _fails(draft, graph, last):
        return
    if isinstance(last, WorkflowStarted):
        open_node(draft, graph.first, "start")
    elif isinstance(last, WorkflowRetried):
        reopen(draft, graph, _failed_at(draft.events))
    _take_back(draft, graph)
    draft.touched.extend(reversed(owed_moves(draft.rows, graph)))
    advance(draft)


def _fails(draft: Draft, graph: Graph, last: Body) -> bool:
    """Whether the run failed with the last copy; then the fork says so at once."""
    header = draft.header
    assert header is not None
    if isinstance(last, SignalTimedOut):
        place = graph.place(last.path)
        node = place.node if place is not None else None
        if isinstance(node, SignalNode) and node.on_timeout == "fail":
            draft.emit(signal.failure(node, last.path))
            return True
    for _, cursor in get_cursors(draft.rows):
        if isinstance(cursor.wait, Broken) and header.cancel is None:
            fail(draft, cursor.path, cursor.wait)
            return True
    return False


def _failed_at(events: Sequence[Event]) -> str:
    return next(
        event.body.path
        for event in reversed(events)
        if isinstance(event.body, WorkflowFailed)
    )


def _take_back(draft: Draft, graph: Graph) -> None:
    """Take attempts back that had begun; where nothing may begin, all that run."""
    header = draft.header
    assert header is not None
    standing = sorted(
        (
            not task.is_withdrawn(header, cursor.wait),
            graph.order(cursor.path),
            cursor.path,
        )
        for _, cursor in get_cursors(draft.rows)
        if isinstance(cursor.wait, Awaiting)
    )
    for _, _, path in standing:
        wait = task.awaiting(draft.rows, path)
        assert wait is not None
        if task.is_withdrawn(header, wait):
            if wait.deadline_at is not None:  # between the two events of the source
                draft.emit(DeadlineCleared(path=path, attempt=wait.attempt))
        elif wait.deadline_at is not None or (
            is_held(header) and task.is_running(header, wait, draft.now_ms)
        ):
            task.withdraw(draft, path)
