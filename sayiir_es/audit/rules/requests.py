"""I16 and I17: what a requested pause or cancel holds back, and when it applies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.rules import permits
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.nodes import DelayNode, SignalNode, StartChildNode
from sayiir_es.core.model.attempt_events import AttemptPublished
from sayiir_es.core.model.child_events import ChildInstanceRequested
from sayiir_es.core.model.events import (
    AttemptRestarted,
    BranchCompleted,
    CancelRequested,
    ChildCompleted,
    ChildStarted,
    DeadlineSet,
    DelayElapsed,
    DelayStarted,
    ForkStarted,
    LoopIterated,
    LoopStarted,
    PauseRequested,
    PositionUpdated,
    SignalAwaited,
    SignalConsumed,
    SignalTimedOut,
    TryCompleted,
    TryStarted,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowPaused,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.audit.rules.run_model import Request, RunModel
    from sayiir_es.core.model.events import Event

INTERRUPTED_MAX = 100
"""Paths that a `WorkflowCancelled` names; the contract's number."""

INTERRUPTED_BYTES = 64 * 1024
"""Where these paths have more bytes, the last of them may be left out."""

MOVES = frozenset(
    {
        AttemptPublished,
        AttemptRestarted,
        BranchCompleted,
        ChildCompleted,
        ChildInstanceRequested,
        ChildStarted,
        DeadlineSet,
        DelayElapsed,
        DelayStarted,
        ForkStarted,
        LoopIterated,
        LoopStarted,
        PositionUpdated,
        SignalAwaited,
        SignalConsumed,
        SignalTimedOut,
        TryCompleted,
        TryStarted,
        WorkflowCompleted,
    }
)
"""Events that move a cursor on, or begin an attempt."""


def check_held(model: RunModel, event: Event) -> None:
    """Check that nothing moves on after a request."""
    if type(event.body) in MOVES:
        raise BreachError(*_request(model), event.kind)


def check_applied(model: RunModel, event: Event) -> None:
    """Check that a request applies before all else as soon as nothing runs."""
    if not model.paused and not model.is_running(event.at):
        invariant, _ = _request(model)
        if not model.is_stopping:
            end = "WorkflowPaused"
        elif model.undo.to_undo:
            end = "CompensationStarted"
        else:
            end = "WorkflowFailed" if model.cancel is None else "WorkflowCancelled"
        raise BreachError(invariant, f"{end} first, as nothing runs", event.kind)


def _request(model: RunModel) -> tuple[str, str]:
    if model.cancel is not None:
        return "I17", "no move behind CancelRequested"
    if model.is_stopping:
        return "I22", "no move behind CompensationRequested"
    return "I16", "no move behind PauseRequested"


def check_cancel_requested(model: RunModel, event: Event) -> None:
    """A cancel was accepted, once a run."""
    body = event.body
    assert isinstance(body, CancelRequested)
    undo = model.undo
    is_stopped = undo.failed_at is not None or bool(undo.reason)
    if model.quarantined and is_stopped:  # what is still to be undone is given up
        undo.failed_at, undo.reason = None, ""
    elif model.cancel is not None or is_stopped:
        raise BreachError("I17", "one CancelRequested a run", f"another {event.kind}")
    model.cancel = (body.reason, body.requested_by)


def check_pause_requested(model: RunModel, event: Event) -> None:
    """A pause was accepted, where none stood."""
    body = event.body
    assert isinstance(body, PauseRequested)
    if model.is_held or model.undo.reason:
        raise BreachError("I16", "PauseRequested where no request stands", event.kind)
    model.pause = (body.reason, body.requested_by)


def check_unpaused(model: RunModel, event: Event) -> None:
    """The run goes on."""
    if model.pause is None or model.cancel is not None:
        raise BreachError("I16", "WorkflowUnpaused of a paused run", event.kind)
    model.pause, model.paused, model.unpaused = None, False, event.sequence
    for open_node in model.open_nodes.values():
        open_node.withdrawn = False


def check_paused(model: RunModel, event: Event) -> None:
    """Nothing runs any more."""
    body = event.body
    assert isinstance(body, WorkflowPaused)
    if model.pause is None or model.is_stopping or model.paused:
        raise BreachError("I16", "PauseRequested before WorkflowPaused", "none stands")
    check_nothing_runs(model, event, "I16")
    _check_reason("I16", model.pause, (body.reason, body.requested_by))
    model.paused = True
    permits.take_away(model)


def check_cancelled(model: RunModel, event: Event) -> None:
    """The run ends where it stood."""
    body = event.body
    assert isinstance(body, WorkflowCancelled)
    if model.cancel is None:
        raise BreachError(
            "I17", "CancelRequested before WorkflowCancelled", "none stands"
        )
    check_nothing_runs(model, event, "I17")
    _check_reason("I17", model.cancel, (body.reason, body.requested_by))
    if not model.undo.reason:
        check_interrupted(model, body.interrupted_at)
    elif body.interrupted_at != model.undo.interrupted_at:
        raise BreachError(
            "I17",
            f"interrupted_at {list(model.undo.interrupted_at)}, as before",
            f"{list(body.interrupted_at)}",
        )


def check_interrupted(model: RunModel, seen: Sequence[str]) -> None:
    """Check that a run names where it stood as it was stopped."""
    graph = model.graph
    assert graph is not None
    open_paths = [
        path
        for path, open_node in model.open_nodes.items()
        if not open_node.broken
        and (
            open_node.attempt
            or isinstance(open_node.node, DelayNode | SignalNode)
            or (
                isinstance(open_node.node, StartChildNode)
                # A copy awaits no child: what its source awaited may be asked for.
                and (
                    open_node.child_id or (model.copying and path in model.may_request)
                )
            )
        )
    ]
    whole = len(open_paths) <= INTERRUPTED_MAX
    expected_size = min(len(open_paths), INTERRUPTED_MAX)
    orders = [graph.order(path) for path in seen]
    if len(seen) < expected_size and list(seen) == paths_in_bounds(
        sorted(open_paths, key=graph.order)
    ):
        return
    if (
        len(set(seen)) != expected_size
        or len(seen) != expected_size
        or not set(seen) <= set(open_paths)
        or orders != sorted(orders)
    ):
        expected_paths = sorted(open_paths, key=graph.order)[:INTERRUPTED_MAX]
        raise BreachError(
            "I17",
            f"interrupted_at {expected_paths}{'' if whole else ' …'}",
            f"{list(seen)}",
        )


def paths_in_bounds(paths: list[str]) -> list[str]:
    """The first of the paths that an event may list; one at least."""
    room, count = INTERRUPTED_BYTES, 0
    for path in paths[:INTERRUPTED_MAX]:
        room -= len(path.encode())
        if room < 0 and count:
            break
        count += 1
    return paths[:count]


def _check_reason(invariant: str, expected: Request, seen: Request) -> None:
    """Check that reason and author are those of the request."""
    if expected != seen:
        raise BreachError(invariant, f"reason and author {expected}", f"{seen}")


def check_nothing_runs(model: RunModel, event: Event, invariant: str) -> None:
    """Check that no attempt runs, or may."""
    if model.quarantined or model.paused or model.queued:
        return  # what is awaited was dropped, or has not begun
    if model.copying:
        return  # only the source's time tells whether a backoff was over
    for path, open_node in model.open_nodes.items():
        if open_node.is_running(event.at):
            raise BreachError(
                invariant,
                f"no running attempt at {event.kind}",
                f"attempt {open_node.attempt} at {path!r} runs",
            )
