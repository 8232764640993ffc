"""A failed attempt and a failed run each leave a line in the worker's log.

Only what the log holds is told: each failure once, by the owner that decided on it.
"""

from __future__ import annotations

from itertools import zip_longest
from logging import ERROR, WARNING
from typing import TYPE_CHECKING

from sayiir_es.core.graph.paths import COMPENSATION, decode_segment
from sayiir_es.core.instants import instant
from sayiir_es.core.model.compensation_events import (
    CompensationEnded,
    CompensationRequested,
)
from sayiir_es.core.model.events import (
    ErrorCaught,
    RetryRecorded,
    TaskFailed,
    WorkflowFailed,
)
from sayiir_es.core.model.rows import get_run
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from structlog.stdlib import BoundLogger

    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.rows import Rows
    from sayiir_es.engine.meter import Meter

logger = get_logger(__name__)

FAILURES = frozenset(
    (
        RetryRecorded,
        TaskFailed,
        ErrorCaught,
        CompensationRequested,
        CompensationEnded,
        WorkflowFailed,
    )
)
"""The kinds of event that leave a line."""


def log_failures(
    events: Sequence[Event], rows_of: Callable[[str], Rows], meter: Meter
) -> None:
    """Write the lines of the failures of a batch, in their order; count retries."""
    if not events:
        return
    for event, following in zip_longest(events, events[1:]):
        is_caught = (
            following is not None
            and isinstance(following.body, ErrorCaught)
            and following.instance_id == event.instance_id
            and following.sequence == event.sequence + 1
        )
        run = get_run(rows_of(event.instance_id))
        workflow = "" if run is None else run.workflow
        _log_failure(event, workflow, is_caught=is_caught)
        if isinstance(event.body, RetryRecorded):
            meter.attempt_retried(workflow)


def _log_failure(event: Event, workflow: str, *, is_caught: bool) -> None:
    """Write the line of a failure; one that is tried again, or caught, is a warning."""
    line = logger.bind(instance_id=event.instance_id, workflow=workflow)
    match event.body:
        case RetryRecorded() as body:
            line = _with_details(line, body)
            next_retry_at = instant(body.next_retry_at)
            line.warning("task.attempt_failed", next_retry_at=next_retry_at)
        case TaskFailed() as body:
            line = _with_details(line, body)
            line.log(WARNING if is_caught else ERROR, "task.attempt_failed")
        case ErrorCaught() as body:
            line.info(
                "workflow.error_caught",
                path=body.path,
                task_id=decode_segment(body.failed_path.rpartition("/")[2]),
                error_type=body.error_type,
                reason=body.error,
            )
        case CompensationEnded(undone=False) as body:
            line.error(
                "task.compensation_failed",
                task_id=_task_id(body.path),
                path=body.path,
            )
        case CompensationRequested() as body:
            line.warning(
                "workflow.compensating",
                path=body.path,
                error_type=body.error_type,
                reason=body.error,
            )
        case WorkflowFailed() as body:
            line.error(
                "workflow.failed",
                path=body.path,
                error_type=body.error_type,
                reason=body.error,
            )
        case _:
            pass


def _task_id(path: str) -> str:
    """The task's id; of a compensation that of the task that it undoes."""
    return decode_segment(path.removesuffix(f"/{COMPENSATION}").rpartition("/")[2])


def _with_details(line: BoundLogger, body: RetryRecorded | TaskFailed) -> BoundLogger:
    line = line.bind(
        task_id=_task_id(body.path),
        path=body.path,
        attempt=body.attempt,
        error_type=body.error_class or body.error_type,
        reason=body.error,
    )
    if body.source_line:
        line = line.bind(source_line=body.source_line)
    # Where a traceback stands in a line: below it in a terminal.
    return line.bind(exception=body.traceback) if body.traceback else line
