"""I16 and I17: what a requested pause or cancel holds back, and when it applies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.nodes import DelayNode, SignalNode
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
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowPaused,
)

if TYPE_CHECKING:
    from sayiir_es.audit.rules.run_model import Request, RunModel
    from sayiir_es.core.model.events import Event

INTERRUPTED_MAX = 100
"""Paths that a `WorkflowCancelled` names; the contract's number."""

MOVES = frozenset(
    {
        AttemptRestarted,
        BranchCompleted,
        ChildCompleted,
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
        end = "WorkflowPaused" if model.cancel is None else "WorkflowCancelled"
        raise BreachError(invariant, f"{end} first, as nothing runs", event.kind)


def _request(model: RunModel) -> tuple[str, str]:
    if model.cancel is None:
        return "I16", "no move behind PauseRequested"
    return "I17", "no move behind CancelRequested"


def check_cancel_requested(model: RunModel, event: Event) -> None:
    """A cancel was accepted, once a run."""
    body = event.body
    assert isinstance(body, CancelRequested)
    if model.cancel is not None:
        raise BreachError("I17", "one CancelRequested a run", f"another {event.kind}")
    model.cancel = (body.reason, body.requested_by)


def check_pause_requested(model: RunModel, event: Event) -> None:
    """A pause was accepted, where none stood."""
    body = event.body
    assert isinstance(body, PauseRequested)
    if model.is_held:
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
    if model.pause is None or model.cancel is not None or model.paused:
        raise BreachError("I16", "PauseRequested before WorkflowPaused", "none stands")
    _check_nothing_runs(model, event, "I16")
    _check_reason("I16", model.pause, (body.reason, body.requested_by))
    model.paused = True


def check_cancelled(model: RunModel, event: Event) -> None:
    """The run ends where it stood."""
    body = event.body
    assert isinstance(body, WorkflowCancelled)
    if model.cancel is None:
        raise BreachError(
            "I17", "CancelRequested before WorkflowCancelled", "none stands"
        )
    _check_nothing_runs(model, event, "I17")
    _check_reason("I17", model.cancel, (body.reason, body.requested_by))
    graph = model.graph
    assert graph is not None
    open_paths = [
        path
        for path, open_node in model.open_nodes.items()
        if open_node.attempt or isinstance(open_node.node, DelayNode | SignalNode)
    ]
    seen = body.interrupted_at
    whole = len(open_paths) <= INTERRUPTED_MAX
    expected_size = min(len(open_paths), INTERRUPTED_MAX)
    orders = [graph.order(path) for path in seen]
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


def _check_reason(invariant: str, expected: Request, seen: Request) -> None:
    """Check that reason and author are those of the request."""
    if expected != seen:
        raise BreachError(invariant, f"reason and author {expected}", f"{seen}")


def _check_nothing_runs(model: RunModel, event: Event, invariant: str) -> None:
    if model.quarantined:
        return  # what is awaited was dropped
    if model.copying:
        return  # only the source's time tells whether a backoff was over
    for path, open_node in model.open_nodes.items():
        if open_node.is_running(event.at):
            raise BreachError(
                invariant,
                f"no running attempt at {event.kind}",
                f"attempt {open_node.attempt} at {path!r} runs",
            )
