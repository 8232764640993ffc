"""I10 of delays and signal time-outs: once each, and not before they are due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.rules.run_model import Must
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.nodes import DelayNode, SignalNode
from sayiir_es.core.model.events import (
    DelayElapsed,
    RetryRecorded,
    SignalTimedOut,
    TaskFailed,
)

if TYPE_CHECKING:
    from sayiir_es.audit.rules.run_model import RunModel, Standing
    from sayiir_es.core.model.events import Event


def elapsed(model: RunModel, event: Event) -> None:
    """A delay is over; what flowed in flows on."""
    body = event.body
    assert isinstance(body, DelayElapsed)
    found = _due(model, event, body.path, DelayNode)
    model.ended(body.path, found.input)


def signal_timed_out(model: RunModel, event: Event) -> None:
    """No signal came in time."""
    body = event.body
    assert isinstance(body, SignalTimedOut)
    found = _due(model, event, body.path, SignalNode)
    node = found.node
    assert isinstance(node, SignalNode)
    waiting = model.buffered.get(node.signal)
    if waiting:
        raise BreachError(
            "I15",
            f"the wait at {body.path!r} to consume signal {waiting[0]}",
            "it timed out",
        )
    model.no_longer_waits(node.signal, body.path)
    if node.on_timeout == "fail":
        del model.standing[body.path]
        model.may_fail[body.path] = None
        model.must = Must("I7", "WorkflowFailed", body.path)
    else:
        model.ended(body.path, "null")


def check_cause(model: RunModel, event: Event) -> None:
    """A decision of a timer begins with what that timer does, at its own time."""
    path, _, due_at = event.cause.removeprefix("timer:").rpartition("@")
    body = event.body
    if not (
        isinstance(body, DelayElapsed | SignalTimedOut | RetryRecorded | TaskFailed)
        and body.path == path
    ):
        raise BreachError(
            "I10", f"what the timer of {path!r} does", f"{event.kind} first"
        )
    found = model.standing.get(path)
    if found is None:
        return  # its own rule says what is wrong
    timer = found.deadline_at if found.attempt else found.due_at
    if str(timer) != due_at:
        raise BreachError("I10", f"a timer of {path!r} due at {timer}", event.cause)


def _due(
    model: RunModel, event: Event, path: str, kind: type[DelayNode | SignalNode]
) -> Standing:
    found = model.standing.get(path)
    if found is None or not isinstance(found.node, kind):
        raise BreachError(
            "I10", f"a {kind.__name__} that waits at {path!r}", f"none for {event.kind}"
        )
    if found.due_at is None or (event.at < found.due_at and not model.copying):
        raise BreachError(
            "I10",
            f"no {event.kind} of {path!r} before {found.due_at}",
            f"one at {event.at}",
        )
    return found
