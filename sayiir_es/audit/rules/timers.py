"""I10 of delays and signal time-outs: once each, and not before they are due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.rules.catching import required_behind
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.nodes import DelayNode, SignalNode
from sayiir_es.core.model.compensation_events import CompensationRequested
from sayiir_es.core.model.events import (
    DelayElapsed,
    RetryRecorded,
    SignalTimedOut,
    TaskFailed,
    WorkflowFailed,
)

if TYPE_CHECKING:
    from sayiir_es.audit.rules.run_model import OpenNode, RunModel
    from sayiir_es.core.model.events import Event


def check_delay_elapsed(model: RunModel, event: Event) -> None:
    """A delay is over; what flowed in flows on."""
    body = event.body
    assert isinstance(body, DelayElapsed)
    open_node = _get_due_timer(model, event, body.path, DelayNode)
    model.end_node(body.path, open_node.input)


def check_signal_timed_out(model: RunModel, event: Event) -> None:
    """No signal came in time."""
    body = event.body
    assert isinstance(body, SignalTimedOut)
    open_node = _get_due_timer(model, event, body.path, SignalNode)
    node = open_node.node
    assert isinstance(node, SignalNode)
    waiting = model.buffered.get(node.signal)
    if waiting:
        raise BreachError(
            "I15",
            f"the wait at {body.path!r} to consume signal {waiting[0]}",
            "it timed out",
        )
    model.end_wait(node.signal, body.path)
    fails = node.on_timeout == "fail"
    if body.error and not fails:
        raise BreachError(
            "I7", f"the wait at {body.path!r} to end with null", f"{body.error!r}"
        )
    if fails:
        why = ("signal_timeout", body.error) if body.error else None
        open_node.broken = True
        model.may_fail[body.path] = why
        model.required = required_behind(model, "I7", body.path, "signal_timeout")
    else:
        model.end_node(body.path, open_node.input if node.keep_input else "null")


def check_cause(model: RunModel, event: Event) -> None:
    """Check that a decision of a timer begins with what that timer does, when due."""
    path, _, due_at = event.cause.removeprefix("timer:").rpartition("@")
    body = event.body
    if not path and isinstance(body, WorkflowFailed | CompensationRequested):
        return  # its own rule looks at the time
    if not (
        isinstance(body, DelayElapsed | SignalTimedOut | RetryRecorded | TaskFailed)
        and body.path == path
    ):
        raise BreachError(
            "I10", f"what the timer of {path!r} does", f"{event.kind} first"
        )
    open_node = model.open_nodes.get(path)
    if open_node is None:
        return  # its own rule reports what is wrong
    timer = open_node.deadline_at if open_node.attempt else open_node.due_at
    if str(timer) != due_at:
        raise BreachError("I10", f"a timer of {path!r} due at {timer}", event.cause)


def _get_due_timer(
    model: RunModel, event: Event, path: str, kind: type[DelayNode | SignalNode]
) -> OpenNode:
    open_node = model.open_nodes.get(path)
    if open_node is None or not isinstance(open_node.node, kind):
        raise BreachError(
            "I10", f"a {kind.__name__} that waits at {path!r}", f"none for {event.kind}"
        )
    if open_node.due_at is None or (event.at < open_node.due_at and not model.copying):
        raise BreachError(
            "I10",
            f"no {event.kind} of {path!r} before {open_node.due_at}",
            f"one at {event.at}",
        )
    return open_node
