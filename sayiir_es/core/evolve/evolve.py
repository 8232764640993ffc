"""Fold one event into the rows of its instance: the only meaning an event has.

`evolve` is pure and total. It has no clock and no definition: time and names come from
the event. The live state, a new owner's recovery, a projector and an audit all call it,
so they cannot disagree. What an event of a construct does is told in its module under
`nodes/`; this module dispatches and counts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias, assert_never

from sayiir_es.core.evolve import lifecycle
from sayiir_es.core.model.events import (
    AttemptRestarted,
    AttemptWithdrawn,
    BranchCompleted,
    CancelRequested,
    ChildCompleted,
    ChildStarted,
    CommandAcknowledged,
    CommandDeadLettered,
    CommandForwarded,
    CommandRejected,
    DeadlineCleared,
    DeadlineSet,
    DelayElapsed,
    DelayStarted,
    Event,
    ForkStarted,
    LoopIterated,
    LoopStarted,
    OutcomeRejected,
    PartitionClaimed,
    PauseRequested,
    PositionUpdated,
    RetryRecorded,
    RouteChosen,
    SignalAwaited,
    SignalConsumed,
    SignalReceived,
    SignalTimedOut,
    TaskCompleted,
    TaskFailed,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowForked,
    WorkflowPaused,
    WorkflowRetried,
    WorkflowStarted,
    WorkflowTerminated,
    WorkflowUnpaused,
)
from sayiir_es.core.model.headers import header_after
from sayiir_es.core.model.rows import Changes, Header, Rows, get_header
from sayiir_es.core.nodes import child, delay, fork, loop, route, signal, task

RunBody: TypeAlias = (
    PartitionClaimed
    | CommandForwarded
    | CommandDeadLettered
    | CommandRejected
    | CommandAcknowledged
    | WorkflowStarted
    | CancelRequested
    | PauseRequested
    | WorkflowUnpaused
    | WorkflowTerminated
    | WorkflowPaused
    | WorkflowCompleted
    | WorkflowFailed
    | WorkflowCancelled
    | WorkflowRetried
    | WorkflowForked
    | OutcomeRejected
)

NOBODY = Header(run=0, sequence=0, at=0, phase="unstarted")


def evolve(rows: Rows, event: Event) -> Changes:
    """The rows that the event changes, as they are behind it.

    An event of the partition, and one without a sequence, changes no row.
    """
    if event.sequence == 0:
        return {}
    header = get_header(rows) or NOBODY
    changes = _fold(rows, event, header)
    if "h" not in changes:
        changes["h"] = header_after(header, event)
    return changes


def _fold(  # noqa: C901, PLR0912 (one case a kind)
    rows: Rows, event: Event, header: Header
) -> Changes:
    body = event.body
    match body:
        case PositionUpdated():
            return task.fold_position(event, body)
        case TaskCompleted():
            return task.fold_completed(rows, body)
        case (
            DeadlineSet() | DeadlineCleared() | AttemptWithdrawn() | AttemptRestarted()
        ):
            return task.fold_attempt(rows, event, body)
        case RetryRecorded():
            return task.fold_retry(rows, event, body)
        case TaskFailed():
            return task.fold_failed(rows, body)
        case DelayStarted():
            return delay.fold_started(body)
        case DelayElapsed():
            return delay.fold_elapsed(rows, body)
        case SignalAwaited():
            return signal.fold_awaited(event, body)
        case SignalReceived():
            return signal.fold_received(rows, event, body, header)
        case SignalConsumed():
            return signal.fold_consumed(rows, event, body, header)
        case SignalTimedOut():
            return signal.fold_timed_out(rows, body)
        case ForkStarted():
            return fork.fold_started(body)
        case BranchCompleted():
            return fork.fold_branch(rows, body)
        case RouteChosen():
            return route.fold_chosen(rows, body)
        case LoopStarted():
            return loop.fold_started(body)
        case LoopIterated():
            return loop.fold_iterated(rows, body)
        case ChildStarted():
            return child.fold_started(body)
        case ChildCompleted():
            return child.fold_completed(rows, body)
        case _:
            return _fold_run(rows, event, header, body)


def _fold_run(  # noqa: C901, PLR0912 (one case a kind)
    rows: Rows, event: Event, header: Header, body: RunBody
) -> Changes:
    match body:
        case WorkflowStarted():
            return lifecycle.fold_started(rows, event, body, header)
        case WorkflowCompleted():
            return lifecycle.fold_completed(event, body, header, rows)
        case WorkflowFailed():
            return lifecycle.fold_failed(event, body, header)
        case WorkflowCancelled():
            return lifecycle.fold_cancelled(event, body, header)
        case WorkflowTerminated():
            return lifecycle.fold_terminated(event, body, header)
        case CancelRequested() | PauseRequested() | WorkflowUnpaused():
            return lifecycle.fold_request(rows, event, body, header)
        case WorkflowRetried():
            return lifecycle.fold_retried(rows, event, body, header)
        case WorkflowForked():
            return lifecycle.fold_forked(rows, event, body, header)
        case WorkflowPaused():
            return lifecycle.fold_paused(event, body, header)
        case OutcomeRejected():
            # Its run is the token's, which may be one that ended long ago.
            return {"h": replace(header_after(header, event), run=header.run)}
        case CommandRejected() | CommandAcknowledged():
            return {}
        case PartitionClaimed() | CommandForwarded() | CommandDeadLettered():
            return {}  # of the partition: they have no sequence and never come here
        case _:
            assert_never(body)
