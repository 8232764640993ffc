"""I8, I9 and I10 of attempts: one outcome each, in order, under their deadlines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.rules import compensations, permits
from sayiir_es.audit.rules.catching import required_behind
from sayiir_es.audit.rules.run_model import RequiredEvent
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.nodes import RouteNode, TaskNode
from sayiir_es.core.graph.paths import is_compensation
from sayiir_es.core.model.attempt_events import SECRET_HASH_BYTES, AttemptPublished
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
    from sayiir_es.audit.rules.run_model import OpenNode, RunModel
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


def check_task_completed(model: RunModel, event: Event) -> None:
    """A task has its result."""
    body = event.body
    assert isinstance(body, TaskCompleted)
    open_node = get_due_attempt(model, event, body.path, body.attempt, "I8")
    if isinstance(open_node.node, RouteNode):
        raise BreachError("I12", f"RouteChosen of {body.path!r}", "TaskCompleted")
    assert isinstance(open_node.node, TaskNode)
    is_outcome = event.cause.startswith(("outcome:", "command:"))
    if _lacks_deadline(open_node) and is_outcome:
        raise BreachError("I10", f"a deadline of {body.path!r} before", "none was set")
    permits.check_had_permit(model, open_node)
    assert model.graph is not None
    place = model.graph.place(body.path)
    if body.loop != "none" and (place is None or not place.ends_loop):
        raise BreachError("I14", f"no loop mark at {body.path!r}", f"{body.loop!r}")
    compensations.check_compensable(open_node, body)
    reference = f"result:{body.path}"
    model.keep(reference, body.output, body.path)
    if body.loop != "none":
        model.marks[reference] = body.loop
    if body.compensable:
        model.undo.add(body.path, event.sequence)
    if is_compensation(body.path):
        compensations.take_outcome(model, body.path, undone=True)
    else:
        model.end_node(body.path, reference)


def check_retry(model: RunModel, event: Event) -> None:
    """An attempt failed and another one follows."""
    body = event.body
    assert isinstance(body, RetryRecorded)
    open_node = get_due_attempt(model, event, body.path, body.attempt, "I9")
    retry = open_node.node.retry if isinstance(open_node.node, TaskNode) else None
    if retry is None or body.attempt > retry.max_retries:
        most = 0 if retry is None else retry.max_retries
        raise BreachError(
            "I9", f"at most {most} retries of {body.path!r}", f"retry {body.attempt}"
        )
    if model.is_stopping:
        what = "a cancel" if model.cancel is not None else "a failure"
        raise BreachError("I17", f"TaskFailed under {what}", "RetryRecorded")
    _check_time_out(model, event, open_node, timed_out=body.timed_out)
    least, most = _delay_bounds(retry, body.attempt)
    waits = body.next_retry_at - event.at
    if not model.copying and not least <= waits <= most:
        raise BreachError(
            "I9",
            f"a next_retry_at of {body.path!r} {least} to {most} ms after `at`",
            f"{waits} ms",
        )
    elapsed, limit = body.next_retry_at - open_node.since, retry.max_elapsed_ms
    if limit is not None and elapsed > limit and not model.copying:
        raise BreachError(
            "I9",
            f"no attempt of {body.path!r} due more than {limit} ms after the first",
            f"one {elapsed} ms after it",
        )
    open_node.next_attempt(body.attempt + 1, body.next_retry_at, event.sequence)


def check_task_failed(model: RunModel, event: Event) -> None:
    """An attempt failed and none follows."""
    body = event.body
    assert isinstance(body, TaskFailed)
    open_node = get_due_attempt(model, event, body.path, body.attempt, "I9")
    _check_time_out(model, event, open_node, timed_out=body.timed_out)
    if is_compensation(body.path):
        compensations.take_outcome(model, body.path, undone=False)
    elif model.cancel is not None:
        del model.open_nodes[body.path]
    else:  # it stays: a retry would make it due again
        open_node.broken, open_node.permit = True, ""
        if not model.is_stopping:
            model.may_fail[body.path] = (body.error_type, body.error)
            model.bases[body.path] = body.error_bases
            model.required = required_behind(
                model, "I7", body.path, body.error_type, body.error_bases
            )


def check_deadline_set(model: RunModel, event: Event) -> None:
    """An attempt begins, with a deadline."""
    body = event.body
    assert isinstance(body, DeadlineSet)
    open_node = _get_attempt(model, event, body.path, body.attempt, "I10")
    _check_due_since(model, event, open_node)
    assert model.graph is not None
    timeout = model.graph.timeout_of(body.path)
    if open_node.deadline_at is not None:
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
    open_node.deadline_at, open_node.withdrawn = body.deadline_at, False


def check_deadline_cleared(model: RunModel, event: Event) -> None:
    """An attempt that was withdrawn had a deadline."""
    body = event.body
    assert isinstance(body, DeadlineCleared)
    open_node = _get_attempt(model, event, body.path, body.attempt, "I10")
    if open_node.deadline_at is None or not open_node.withdrawn:
        raise BreachError(
            "I10",
            f"a deadline of {body.path!r}, and the attempt withdrawn",
            "none was set" if open_node.deadline_at is None else "it was not",
        )
    open_node.deadline_at = None


def check_withdrawn(model: RunModel, event: Event) -> None:
    """An attempt is withdrawn: it has no outcome."""
    body = event.body
    assert isinstance(body, AttemptWithdrawn)
    open_node = _get_attempt(model, event, body.path, body.attempt, "I9")
    if open_node.withdrawn:
        raise BreachError("I9", f"{body.path!r} withdrawn once", "a second time")
    if not (model.in_fork or model.forking):
        _check_whose(event, open_node)
    open_node.withdrawn, open_node.withdrawn_by = True, event.sequence
    open_node.published, open_node.permit = False, ""
    if open_node.deadline_at is not None:
        model.required = RequiredEvent("I10", "DeadlineCleared", body.path)


def check_restarted(model: RunModel, event: Event) -> None:
    """An attempt begins again."""
    body = event.body
    assert isinstance(body, AttemptRestarted)
    open_node = _get_attempt(model, event, body.path, body.attempt, "I9")
    _check_due_since(model, event, open_node)
    # What was withdrawn is no lost worker; earlier builds counted it as one.
    least = open_node.restarts + (not open_node.withdrawn)
    if not least <= body.restarts <= min(open_node.restarts + 1, RESTARTS_MAX):
        expected = f"restart {least} of {body.path!r}"
        raise BreachError("I9", f"{expected}, at most 10", f"restart {body.restarts}")
    open_node.restarts, open_node.withdrawn = body.restarts, False
    open_node.published = False


def check_published(model: RunModel, event: Event) -> None:
    """An attempt is handed to an executor elsewhere."""
    body = event.body
    assert isinstance(body, AttemptPublished)
    open_node = _get_attempt(model, event, body.path, body.attempt, "I9")
    _check_due_since(model, event, open_node)
    if open_node.published or open_node.withdrawn:
        what = "it is elsewhere already" if open_node.published else "it was withdrawn"
        raise BreachError("I9", f"AttemptRestarted of {body.path!r} before", what)
    if _lacks_deadline(open_node):
        raise BreachError("I10", f"a deadline of {body.path!r} before", "none was set")
    size = len(body.secret_hash)
    if size != SECRET_HASH_BYTES or not body.executor or body.lease_ms <= 0:
        raise BreachError(
            "I9",
            f"a hash of {SECRET_HASH_BYTES} bytes, an executor and a lease",
            f"{size} bytes, {body.executor!r} and {body.lease_ms} ms",
        )
    open_node.published, open_node.handed_out = True, open_node.handed_out + 1


def _check_whose(event: Event, open_node: OpenNode) -> None:
    """Check that an outcome comes from where its attempt was handed to.

    What an executor elsewhere says is a command. A failure may be the owner's judgement
    of an attempt that is elsewhere.
    """
    path = open_node.path
    if event.cause.startswith("command:") and not open_node.published:
        raise BreachError("I8", f"{path!r} to be handed out before", event.kind)
    is_local = event.cause.startswith("outcome:")
    if is_local and open_node.published and isinstance(event.body, TaskCompleted):
        raise BreachError(
            "I8", f"the outcome of {path!r} as a command", repr(event.cause)
        )


def _lacks_deadline(open_node: OpenNode) -> bool:
    """Whether the awaited attempt has a time-out, and has not begun."""
    node = open_node.node
    timed = isinstance(node, TaskNode) and node.timeout_ms is not None
    return timed and open_node.deadline_at is None


def check_outcome_rejected(model: RunModel, event: Event) -> None:
    """An outcome is rejected: it must not have been due."""
    body = event.body
    assert isinstance(body, OutcomeRejected)
    open_node = model.open_nodes.get(body.path)
    if (
        not (model.copying or model.quarantined)
        and event.run == model.run
        and open_node is not None
        and open_node.attempt == body.attempt
        and open_node.is_running(event.at)
        and not _lacks_deadline(open_node)
        and not _may_be_earlier(event, open_node)
    ):
        raise BreachError(
            "I8",
            f"the outcome of attempt {body.attempt} at {body.path!r} to be recorded",
            f"it was rejected as {body.reason!r}, though it was due",
        )


def _may_be_earlier(event: Event, open_node: OpenNode) -> bool:
    """Whether an outcome from elsewhere may be of an earlier hand-out."""
    if not event.cause.startswith("command:"):
        return False
    return open_node.handed_out > (1 if open_node.published else 0)


def check_cause(event: Event) -> None:
    """Check that a decision of an outcome begins with that outcome."""
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


def get_due_attempt(
    model: RunModel, event: Event, path: str, attempt: int, invariant: str
) -> OpenNode:
    """The open node whose attempt ended; it must be the attempt that was due."""
    open_node = _get_attempt(model, event, path, attempt, invariant)
    if model.paused:
        raise BreachError("I16", "no outcome behind WorkflowPaused", event.kind)
    if open_node.withdrawn:
        raise BreachError(
            invariant, f"no outcome of {path!r}, which was withdrawn", event.kind
        )
    if open_node.not_before > event.at and not model.copying:
        raise BreachError(
            invariant,
            f"no outcome of {path!r} before its retry at {open_node.not_before}",
            f"{event.kind} at {event.at}",
        )
    if not (model.in_fork or model.forking):
        _check_whose(event, open_node)
    return open_node


def _get_attempt(
    model: RunModel, event: Event, path: str, attempt: int, invariant: str
) -> OpenNode:
    open_node = model.open_nodes.get(path)
    if open_node is None or not open_node.attempt or open_node.broken:
        assert model.graph is not None
        if model.graph.node(path) is None:
            raise BreachError("I11", "the path of a node", f"{event.kind} of {path!r}")
        raise BreachError(
            invariant, f"an attempt to be awaited at {path!r}", f"none for {event.kind}"
        )
    if open_node.attempt != attempt:
        raise BreachError(
            invariant,
            f"attempt {open_node.attempt} at {path!r}",
            f"{event.kind} of attempt {attempt}",
        )
    return open_node


def _check_due_since(model: RunModel, event: Event, open_node: OpenNode) -> None:
    """Check that what begins an attempt names the event that made it due."""
    since = {f"owed:{open_node.sequence}", f"owed:{model.unpaused}"}
    if event.cause not in since and not model.copying:
        raise BreachError(
            "I9", f"the cause owed:{open_node.sequence}", repr(event.cause)
        )


def _check_time_out(
    model: RunModel, event: Event, open_node: OpenNode, *, timed_out: bool
) -> None:
    """Check that a time-out is caused by a timer, and its deadline has passed."""
    if model.copying:
        if timed_out and open_node.deadline_at is None:
            raise BreachError(
                "I10", f"a deadline of {open_node.path!r}", "none was set"
            )
        return
    if timed_out != event.cause.startswith("timer:"):
        raise BreachError(
            "I10",
            f"`timed_out` of {open_node.path!r} where a timer is the cause",
            f"{timed_out} under {event.cause!r}",
        )
    if timed_out and (
        open_node.deadline_at is None or open_node.deadline_at > event.at
    ):
        raise BreachError(
            "I10",
            f"a deadline of {open_node.path!r} that has passed",
            f"it is {open_node.deadline_at} at {event.at}",
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
