"""I16 and I17: what a requested pause or cancel holds back, and when it applies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.violation import BreachError
from sayiir_es.core.events import (
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
    WorkflowCancelled,
    WorkflowCompleted,
)
from sayiir_es.core.graph import DelayNode, SignalNode

if TYPE_CHECKING:
    from sayiir_es.audit.run_model import RunModel
    from sayiir_es.core.events import Event

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
        invariant = "I17" if model.cancel else "I16"
        request = "CancelRequested" if model.cancel else "PauseRequested"
        raise BreachError(invariant, f"no move behind {request}", event.kind)


def cancel_requested(model: RunModel, event: Event) -> None:
    """A cancel was accepted, once a run."""
    if model.cancel:
        raise BreachError("I17", "one CancelRequested a run", f"another {event.kind}")
    model.cancel = True


def pause_requested(model: RunModel, event: Event) -> None:
    """A pause was accepted, where none stood."""
    if model.held:
        raise BreachError("I16", "PauseRequested where no request stands", event.kind)
    model.pause = True


def unpaused(model: RunModel, event: Event) -> None:
    """The run goes on."""
    if not model.pause or model.cancel:
        raise BreachError("I16", "WorkflowUnpaused of a paused run", event.kind)
    model.pause = model.paused = False
    for found in model.standing.values():
        found.withdrawn = False


def paused(model: RunModel, event: Event) -> None:
    """Nothing runs any more."""
    if not model.pause or model.cancel or model.paused:
        raise BreachError("I16", "PauseRequested before WorkflowPaused", "none stands")
    _check_nothing_runs(model, event, "I16")
    model.paused = True


def cancelled(model: RunModel, event: Event) -> None:
    """The run ends where it stood."""
    body = event.body
    assert isinstance(body, WorkflowCancelled)
    if not model.cancel:
        raise BreachError(
            "I17", "CancelRequested before WorkflowCancelled", "none stands"
        )
    _check_nothing_runs(model, event, "I17")
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


def _check_nothing_runs(model: RunModel, event: Event, invariant: str) -> None:
    for path, found in model.standing.items():
        if found.runs(event.at):
            raise BreachError(
                invariant,
                f"no running attempt at {event.kind}",
                f"attempt {found.attempt} at {path!r} runs",
            )
