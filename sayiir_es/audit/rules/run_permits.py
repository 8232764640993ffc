"""I26 at an instance: a run whose workflow has a start queue goes on with a permit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.paths import encode_segment
from sayiir_es.core.model.run_permit_events import (
    RunPermitAsked,
    RunPermitMessageSent,
    RunPermitTaken,
)

if TYPE_CHECKING:
    from sayiir_es.audit.rules.run_model import RunModel
    from sayiir_es.core.model.compensation_events import CompensationRequested
    from sayiir_es.core.model.events import Event, WorkflowFailed

REFUSED, UNREADABLE = "queue_full", "unreadable_key"
FAILURES = frozenset({REFUSED, UNREADABLE})
"""The error types of runs that fail before they go on."""


def check_goes_on(model: RunModel, event: Event) -> None:
    """Check that a run that moves has a permit, where its workflow asks for one."""
    graph = model.graph
    if graph is None or graph.graph.start_queue is None or model.copying:
        return
    if model.undo.reason or model.is_stopping or model.needs_no_run_permit:
        return
    if model.queued or not model.run_permit:
        raise BreachError("I26", f"RunPermitTaken before {event.kind}", "it waits")


def check_asked(model: RunModel, event: Event) -> None:
    """The run asks as its graph says, once."""
    body = event.body
    assert isinstance(body, RunPermitAsked)
    if body.holder != model.instance_id:
        _check_copy(model, event)
        return
    if model.run_permit and not (model.quarantined and model.queued):
        raise BreachError("I26", "one RunPermitAsked a run", "another")
    model.run_permit, model.queued = f"{event.sequence}:{body.key}", True
    queue = None if model.graph is None else model.graph.graph.start_queue
    if model.quarantined:
        return  # refused there, it waits by what it had asked
    if queue is None or model.graph is None:
        raise BreachError("I26", "a workflow with a start queue", event.kind)
    name = encode_segment(model.graph.workflow)
    fits = body.key == name if queue.key is None else body.key.startswith(f"{name}/")
    if not fits or body.limit != queue.max_running:
        raise BreachError(
            "I26",
            f"an ask of {name!r} for one of {queue.max_running} permits",
            f"{body.key!r} and {body.limit}",
        )
    if body.again and body.queue_length is not None:
        raise BreachError(
            "I26", "no queue_length of what goes on again", f"{body.queue_length}"
        )
    if body.queue_length not in (None, queue.length):
        raise BreachError(
            "I26", f"a queue_length of {queue.length}", f"{body.queue_length}"
        )


def check_taken(model: RunModel, event: Event) -> None:
    """A permit was granted: the run has it, if it still waits for that one."""
    body = event.body
    assert isinstance(body, RunPermitTaken)
    if body.holder != model.instance_id:
        _check_copy(model, event)
        return
    if model.run_permit != f"{body.ask}:{body.key}":
        return  # it goes back
    is_undone = bool(model.undo.reason) or model.undo.failed_at is not None
    if not model.queued and not is_undone:
        raise BreachError("I26", "a run permit taken once", "a second time")
    model.queued = False


def check_sent(model: RunModel, event: Event) -> None:
    """The log holds what the instance owed to a queue; queues owe the other kinds."""
    body = event.body
    assert isinstance(body, RunPermitMessageSent)
    if body.message not in ("ask", "return"):
        raise BreachError("I26", "an ask or a return of an instance", body.message)
    name = f"{body.ask}:{body.other}"
    is_had = model.run_permit == name and model.graph is not None
    if body.message == "return" and is_had and not model.copying:
        raise BreachError("I26", f"permit {name!r} kept while the run goes on", "sent")


def check_refused(
    model: RunModel, event: Event, body: WorkflowFailed | CompensationRequested
) -> None:
    """Only a run that waits is refused, and one that cannot ask has no permit."""
    if model.copying:
        return
    queue = None if model.graph is None else model.graph.graph.start_queue
    if body.error_type == REFUSED:
        by_command = event.cause.startswith("command:")
        if not model.queued or not by_command:
            raise BreachError("I26", "a run that waits to be refused", event.kind)
    elif queue is None or queue.key is None or model.run_permit:
        raise BreachError("I26", "a run that asks by a key", event.kind)


def forget(model: RunModel) -> None:
    """Another run, or the same one anew, asks for a permit of its own."""
    model.run_permit, model.queued, model.needs_no_run_permit = "", False, False


def _check_copy(model: RunModel, event: Event) -> None:
    if not model.copying:
        raise BreachError(
            "I26", f"{event.kind} of {model.instance_id!r}", "one of another instance"
        )
