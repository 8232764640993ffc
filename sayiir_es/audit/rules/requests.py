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
"""Whatever moves a cursor on, or begins an attempt."""


def check_held(model: RunModel, event: Event) -> None:
    """Nothing moves while a request stands."""
    if type(event.body) in MOVES:
        raise BreachError(*_request(model), event.kind)


def check_applied(model: RunModel, event: Event) -> None:
    """A request applies as soon as nothing runs, before any other decision."""
    if not model.paused and not model.runs(event.at):
        invariant, _ = _request(model)
        end = "WorkflowPaused" if model.cancel is None else "WorkflowCancelled"
        raise BreachError(invariant, f"{end} first, as nothing runs", event.kind)


def _request(model: RunModel) -> tuple[str, str]:
    if model.cancel is None:
        return "I16", "no move behind PauseRequested"
    return "I17", "no move behind CancelRequested"


def cancel_requested(model: RunModel, event: Event) -> None:
    """A cancel was accepted, once a run."""
    body = event.body
    assert isinstance(body, CancelRequested)
    if model.cancel is not None:
        raise BreachError("I17", "one CancelRequested a run", f"another {event.kind}")
    model.cancel = (body.reason, body.requested_by)


def pause_requested(model: RunModel, event: Event) -> None:
    """A pause was accepted, where none stood."""
    body = event.body
    assert isinstance(body, PauseRequested)
    if model.held:
        raise BreachError("I16", "PauseRequested where no request stands", event.kind)
    model.pause = (body.reason, body.requested_by)


def unpaused(model: RunModel, event: Event) -> None:
    """The run goes on."""
    if model.pause is None or model.cancel is not None:
        raise BreachError("I16", "WorkflowUnpaused of a paused run", event.kind)
    model.pause, model.paused, model.unpaused = None, False, event.sequence
    for found in model.standing.values():
        found.withdrawn = False


def paused(model: RunModel, event: Event) -> None:
    """Nothing runs any more."""
    body = event.body
    assert isinstance(body, WorkflowPaused)
    if model.pause is None or model.cancel is not None or model.paused:
        raise BreachError("I16", "PauseRequested before WorkflowPaused", "none stands")
    _check_nothing_runs(model, event, "I16")
    _check_words("I16", model.pause, (body.reason, body.requested_by))
    model.paused = True


def cancelled(model: RunModel, event: Event) -> None:
    """The run ends where it stood."""
    body = event.body
    assert isinstance(body, WorkflowCancelled)
    if model.cancel is None:
        raise BreachError(
            "I17", "CancelRequested before WorkflowCancelled", "none stands"
        )
    _check_nothing_runs(model, event, "I17")
    _check_words("I17", model.cancel, (body.reason, body.requested_by))
    blueprint = model.blueprint
    assert blueprint is not None
    open_paths = [
        path
        for path, found in model.standing.items()
        if found.attempt or isinstance(found.node, DelayNode | SignalNode)
    ]
    seen = body.interrupted_at
    whole = len(open_paths) <= INTERRUPTED_MAX
    expected_size = min(len(open_paths), INTERRUPTED_MAX)
    orders = [blueprint.order(path) for path in seen]
    if (
        len(set(seen)) != expected_size
        or len(seen) != expected_size
        or not set(seen) <= set(open_paths)
        or orders != sorted(orders)
    ):
        named = sorted(open_paths, key=blueprint.order)[:INTERRUPTED_MAX]
        raise BreachError(
            "I17",
            f"interrupted_at {named}{'' if whole else ' …'}",
            f"{list(seen)}",
        )


def _check_words(invariant: str, expected: Request, seen: Request) -> None:
    """What a request gave as its reason and its author is what its end says."""
    if expected != seen:
        raise BreachError(invariant, f"reason and author {expected}", f"{seen}")


def _check_nothing_runs(model: RunModel, event: Event, invariant: str) -> None:
    if model.quarantined:
        return  # what is awaited was dropped
    if model.copying:
        return  # whether a backoff was over is told by the source's time
    for path, found in model.standing.items():
        if found.runs(event.at):
            raise BreachError(
                invariant,
                f"no running attempt at {event.kind}",
                f"attempt {found.attempt} at {path!r} runs",
            )
