"""I10 of whole runs: how long one may take, and that it fails not before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.violation import BreachError

if TYPE_CHECKING:
    from sayiir_es.audit.rules.run_model import RunModel
    from sayiir_es.core.model.compensation_events import CompensationRequested
    from sayiir_es.core.model.events import Event, WorkflowFailed


def check_run_deadline(model: RunModel, event: Event, deadline_at: int | None) -> None:
    """A run that begins, or goes on, has all the time that its workflow gives it.

    One that has failed, and is undone, ends by itself.
    """
    assert model.graph is not None
    is_undone = model.undo.failed_at is not None or bool(model.undo.reason)
    timeout_ms = None if is_undone else model.graph.timeout_ms
    expected = None if timeout_ms is None else event.at + timeout_ms
    is_copy = model.copying and deadline_at is not None and expected is not None
    if deadline_at != expected and not is_copy:
        raise BreachError(
            "I10", f"{event.kind} with deadline_at {expected}", f"{deadline_at}"
        )
    model.deadline_at = deadline_at


def check_out_of_time(
    model: RunModel, event: Event, body: WorkflowFailed | CompensationRequested
) -> None:
    """Only a run whose deadline has passed fails at no node."""
    deadline_at = model.deadline_at
    is_due = deadline_at is not None and (model.copying or deadline_at <= event.at)
    by_timer = model.copying or event.cause == f"timer:@{deadline_at}"
    if not is_due or not by_timer or body.error_type != "timeout":
        raise BreachError(
            "I10",
            f"a run that is out of time at {deadline_at} to fail as a whole",
            f"{event.kind} with {body.error_type} at {event.at}",
        )
    if model.cancel is not None or model.paused:
        raise BreachError("I10", "no end of a run that stands still", event.kind)
