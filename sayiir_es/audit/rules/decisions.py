"""What one decision may hold: how it begins, and what must follow within it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.rules import attempts, compensations, requests, timers
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.model.attempt_events import AttemptPublished
from sayiir_es.core.model.events import (
    AttemptRestarted,
    DeadlineSet,
    InstanceQuarantined,
)

if TYPE_CHECKING:
    from sayiir_es.audit.rules.run_model import RunModel
    from sayiir_es.core.model.events import Event

BEGINNINGS = frozenset({DeadlineSet, AttemptRestarted, AttemptPublished})


def check_required(model: RunModel, event: Event, *, begins: bool) -> None:
    """Check that what has to follow in the same decision does."""
    required, model.required = model.required, None
    assert required is not None
    path: object = getattr(event.body, "path", None)
    of_kind = event.kind in required.kind.split(" or ")
    of_kind = of_kind or required.kind == "the opening"
    if begins or not of_kind or required.path not in (None, path):
        where = "" if path is None else f" of {path!r}"
        again = " in another decision" if begins else ""
        raise BreachError(
            required.invariant, f"{required} next", f"{event.kind}{where}{again}"
        )


def check_begins(model: RunModel, event: Event) -> None:
    """Check that a decision begins as its cause says, with nothing left undone."""
    cause = event.cause
    if model.quarantined or isinstance(event.body, InstanceQuarantined):
        return  # what is owed stays owed
    if cause.startswith("outcome:"):
        attempts.check_cause(event)
    elif cause.startswith("timer:"):
        timers.check_cause(model, event)
    if model.graph is None:
        return
    if cause.startswith("owed:") and type(event.body) not in BEGINNINGS:
        if cause != f"owed:{event.sequence - 1}":
            raise BreachError("I11", f"owed:{event.sequence - 1} as the cause", cause)
        return
    if model.undo.reason:
        compensations.check_goes_on(model, event)
        return
    if model.is_held:
        requests.check_applied(model, event)
        return
    if not model.queued:  # else all waits for its run permit
        _check_nothing_owed(model, event)


def _check_nothing_owed(model: RunModel, event: Event) -> None:
    """Check that all that follows from the last decision was recorded."""
    assert model.graph is not None
    if model.may_open:
        path = next(iter(model.may_open))
        invariant = "I13" if model.graph.is_join(path) else "I11"
        raise BreachError(invariant, f"{path!r} to open first", event.kind)
    if model.may_close:
        chain = next(iter(model.may_close))
        raise BreachError(
            "I11", f"chain {chain!r}, which has ended, to close first", event.kind
        )
    for name in model.buffered:
        if name in model.waits:
            path = next(iter(model.waits[name]))
            raise BreachError(
                "I15", f"{path!r} to consume signal {name!r} first", event.kind
            )
