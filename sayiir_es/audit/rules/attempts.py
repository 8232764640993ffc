"""I8, I9 and I10 of attempts: one outcome each, in order, under their deadlines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.rules.run_model import Must
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.nodes import RouteNode, TaskNode
from sayiir_es.core.model.events import (
    AttemptRestarted,
    AttemptWithdrawn,
    DeadlineCleared,
    DeadlineSet,
    OutcomeRejected,
    RetryRecorded,
    RouteChosen,
    TaskCompleted,
    TaskFailed,
)

if TYPE_CHECKING:
    from sayiir_es.audit.rules.run_model import RunModel, Standing
    from sayiir_es.core.graph.nodes import Retry
    from sayiir_es.core.model.events import Event

Outcomes = (
    TaskCompleted | RetryRecorded | TaskFailed | AttemptWithdrawn | OutcomeRejected
)
"""What an outcome is recorded as, with the number of its attempt."""

RESTARTS_MAX = 10
"""Times that an attempt may begin again; the contract's number."""

DELAY_MAX_MS = 100 * 365 * 24 * 3600 * 1000
"""A century: no backoff is longer, whatever the policy says."""


def completed(model: RunModel, event: Event) -> None:
    """A task has its result."""
    body = event.body
    assert isinstance(body, TaskCompleted)
    found = due(model, event, body.path, body.attempt, "I8")
    if isinstance(found.node, RouteNode):
        raise BreachError("I12", f"RouteChosen of {body.path!r}", "TaskCompleted")
    assert isinstance(found.node, TaskNode)
    if (
        found.node.timeout_ms is not None
        and found.deadline_at is None
        and event.cause.startswith("outcome:")
    ):
        raise BreachError("I10", f"a deadline of {body.path!r} before", "none was set")
    assert model.blueprint is not None
    place = model.blueprint.place(body.path)
    if body.loop != "none" and (place is None or not place.ends_loop):
        raise BreachError("I14", f"no loop mark at {body.path!r}", f"{body.loop!r}")
    reference = f"result:{body.path}"
    model.keep(reference, body.output, body.path)
    if body.loop != "none":
        model.marks[reference] = body.loop
    model.ended(body.path, reference)


def retried(model: RunModel, event: Event) -> None:
    """An attempt failed and another one follows."""
    body = event.body
    assert isinstance(body, RetryRecorded)
    found = due(model, event, body.path, body.attempt, "I9")
    retry = found.node.retry if isinstance(found.node, TaskNode) else None
    if retry is None or body.attempt > retry.max_retries:
        most = 0 if retry is None else retry.max_retries
        raise BreachError(
            "I9", f"at most {most} retries of {body.path!r}", f"retry {body.attempt}"
        )
    if model.cancel is not None:
        raise BreachError("I17", "TaskFailed under a cancel", "RetryRecorded")
    _timed_out(model, event, found, timed_out=body.timed_out)
    least, most = _delay_bounds(retry, body.attempt)
    waits = body.next_retry_at - event.at
    if not model.copying and not least <= waits <= most:
        raise BreachError(
            "I9",
            f"a next_retry_at of {body.path!r} {least} to {most} ms after `at`",
            f"{waits} ms",
        )
    found.next_attempt(body.attempt + 1, body.next_retry_at, event.sequence)


def failed(model: RunModel, event: Event) -> None:
    """An attempt failed and none follows."""
    body = event.body
    assert isinstance(body, TaskFailed)
    found = due(model, event, body.path, body.attempt, "I9")
    _timed_out(model, event, found, timed_out=body.timed_out)
    if model.cancel is not None:
        del model.standing[body.path]
    else:  # it stays: a retry would make it due again
        model.may_fail[body.path] = (body.error_type, body.error)
        model.must = Must("I7", "WorkflowFailed", body.path)


def deadline_set(model: RunModel, event: Event) -> None:
    """An attempt begins, and has so long."""
    body = event.body
    assert isinstance(body, DeadlineSet)
    found = _standing(model, event, body.path, body.attempt, "I10")
    _check_due_since(model, event, found)
    assert model.blueprint is not None
    timeout = model.blueprint.timeout_of(body.path)
    if found.deadline_at is not None:
        raise BreachError("I10", f"one deadline of {body.path!r}", "a second one")
    if timeout is None or timeout != body.timeout_ms:
        raise BreachError(
            "I10", f"time-out {timeout} ms of {body.path!r}", f"{body.timeout_ms} ms"
        )
    if not model.copying and body.deadline_at != event.at + timeout:
        raise BreachError(
            "I10",
            f"deadline_at {event.at + timeout} of {body.path!r}",
            f"{body.deadline_at}",
        )
    found.deadline_at, found.withdrawn = body.deadline_at, False


def deadline_cleared(model: RunModel, event: Event) -> None:
    """An attempt that was withdrawn had a deadline."""
    body = event.body
    assert isinstance(body, DeadlineCleared)
    found = _standing(model, event, body.path, body.attempt, "I10")
    if found.deadline_at is None or not found.withdrawn:
        raise BreachError(
            "I10",
            f"a deadline of {body.path!r}, and the attempt withdrawn",
            "none was set" if found.deadline_at is None else "it was not",
        )
    found.deadline_at = None


def withdrawn(model: RunModel, event: Event) -> None:
    """An attempt comes back without an outcome."""
    body = event.body
    assert isinstance(body, AttemptWithdrawn)
    found = _standing(model, event, body.path, body.attempt, "I9")
    if found.withdrawn:
        raise BreachError("I9", f"{body.path!r} withdrawn once", "a second time")
    found.withdrawn = True
    if found.deadline_at is not None:
        model.must = Must("I10", "DeadlineCleared", body.path)


def restarted(model: RunModel, event: Event) -> None:
    """An attempt begins again."""
    body = event.body
    assert isinstance(body, AttemptRestarted)
    found = _standing(model, event, body.path, body.attempt, "I9")
    _check_due_since(model, event, found)
    if body.restarts != found.restarts + 1 or body.restarts > RESTARTS_MAX:
        expected = f"restart {found.restarts + 1} of {body.path!r}"
        raise BreachError("I9", f"{expected}, at most 10", f"restart {body.restarts}")
    found.restarts, found.withdrawn = body.restarts, False


def rejected(model: RunModel, event: Event) -> None:
    """An outcome was not due: then it must not have been."""
    body = event.body
    assert isinstance(body, OutcomeRejected)
    found = model.standing.get(body.path)
    if (
        not (model.copying or model.quarantined)
        and event.run == model.run
        and found is not None
        and found.attempt == body.attempt
        and found.runs(event.at)
    ):
        raise BreachError(
            "I8",
            f"the outcome of attempt {body.attempt} at {body.path!r} to be recorded",
            f"it was rejected as {body.reason!r}, though it was due",
        )


def check_cause(event: Event) -> None:
    """A decision of an outcome begins with what that attempt ended with."""
    path, _, attempt = event.cause.removeprefix("outcome:").rpartition("#")
    body = event.body
    if not (
        isinstance(body, RouteChosen | Outcomes)
        and body.path == path
        and (isinstance(body, RouteChosen) or str(body.attempt) == attempt)
    ):
        raise BreachError(
            "I8", f"what attempt {attempt} at {path!r} ended with", event.kind
        )


def due(
    model: RunModel, event: Event, path: str, attempt: int, invariant: str
) -> Standing:
    """The node whose attempt ended; it must have been the one that was due."""
    found = _standing(model, event, path, attempt, invariant)
    if model.paused:
        raise BreachError("I16", "no outcome behind WorkflowPaused", event.kind)
    if found.withdrawn:
        raise BreachError(
            invariant, f"no outcome of {path!r}, which was withdrawn", event.kind
        )
    if found.not_before > event.at and not model.copying:
        raise BreachError(
            invariant,
            f"no outcome of {path!r} before its retry at {found.not_before}",
            f"{event.kind} at {event.at}",
        )
    return found


def _standing(
    model: RunModel, event: Event, path: str, attempt: int, invariant: str
) -> Standing:
    found = model.standing.get(path)
    if found is None or not found.attempt:
        assert model.blueprint is not None
        if model.blueprint.node(path) is None:
            raise BreachError("I11", "the path of a node", f"{event.kind} of {path!r}")
        raise BreachError(
            invariant, f"an attempt to be awaited at {path!r}", f"none for {event.kind}"
        )
    if found.attempt != attempt:
        raise BreachError(
            invariant,
            f"attempt {found.attempt} at {path!r}",
            f"{event.kind} of attempt {attempt}",
        )
    return found


def _check_due_since(model: RunModel, event: Event, found: Standing) -> None:
    """What begins an attempt names the event that made it due."""
    since = {f"owed:{found.sequence}", f"owed:{model.unpaused}"}
    if event.cause not in since and not model.copying:
        raise BreachError("I9", f"the cause owed:{found.sequence}", repr(event.cause))


def _timed_out(
    model: RunModel, event: Event, found: Standing, *, timed_out: bool
) -> None:
    """A time-out needs a deadline that has passed; a deadline fires as one."""
    if model.copying:
        if timed_out and found.deadline_at is None:
            raise BreachError("I10", f"a deadline of {found.path!r}", "none was set")
        return
    if timed_out != event.cause.startswith("timer:"):
        raise BreachError(
            "I10",
            f"`timed_out` of {found.path!r} where a timer is the cause",
            f"{timed_out} under {event.cause!r}",
        )
    if timed_out and (found.deadline_at is None or found.deadline_at > event.at):
        raise BreachError(
            "I10",
            f"a deadline of {found.path!r} that has passed",
            f"it is {found.deadline_at} at {event.at}",
        )


def _delay_bounds(retry: Retry, number: int) -> tuple[int, int]:
    """The least and most milliseconds before retry `number`; jitter shortens."""
    try:
        delay = retry.initial_delay_ms * retry.backoff_multiplier ** (number - 1)
    except OverflowError:
        delay = float(DELAY_MAX_MS)
    most = DELAY_MAX_MS if retry.max_delay_ms is None else retry.max_delay_ms
    delay = min(delay, float(most), float(DELAY_MAX_MS))
    return int(delay * (1.0 - retry.jitter)), int(delay)
