"""Spans of attempts: each try at a task is one, and a task's own are its children.

An attempt belongs to the trace of its run, which `WorkflowStarted` recorded: so do its
retries, those behind a delay, and those of whoever owns the partition later. It is
linked to the signal that let its chain go on, for that came in a trace of its own.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from sayiir_es.core.model.rows import (
    chain_of,
    get_cursor,
    get_signal_traceparent,
)
from sayiir_es.engine.attempts.attempt import TraceOrigin
from sayiir_es.engine.tracer import (
    STACK_MAX,
    bounded,
    get_tracer,
    links_to,
    parent_context,
    record_error,
    set_error,
)
from sayiir_es.telemetry import (
    SPAN_ATTEMPT,
    SPAN_INSTANCE_ID,
    SPAN_PATH,
    SPAN_RUN,
    SPAN_TASK_ID,
    SPAN_WORKFLOW,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from opentelemetry.trace import Span, Tracer

    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.inputs import Outcome
    from sayiir_es.core.model.rows import Rows, Run
    from sayiir_es.engine.attempts.task_context import TaskExecutionContext

_SIGNAL = "signal:"


_NOWHERE: AbstractContextManager[object] = nullcontext()


def origin_of(rows: Rows, run: Run, graph: Graph, path: str) -> TraceOrigin | None:
    """Where the span of an attempt that is due belongs; None: it will have none."""
    if get_tracer() is None:
        return None
    signals = {_input_signal(rows, path), _awaited_signal(rows, graph, path)}
    found = (get_signal_traceparent(rows, number) for number in sorted(signals))
    links = tuple(text for text in found if text is not None)
    return TraceOrigin(parent=run.traceparent, links=links, path=path)


def _input_signal(rows: Rows, path: str) -> int:
    """The sequence of the signal that is an attempt's input, or 0."""
    cursor = get_cursor(rows, chain_of(path))
    if cursor is None or not cursor.input.startswith(_SIGNAL):
        return 0
    return int(cursor.input[len(_SIGNAL) :])


def _awaited_signal(rows: Rows, graph: Graph, path: str) -> int:
    """The sequence of the signal that was waited for right before a task, or 0."""
    before = graph.predecessor(path)
    consumed = None if before is None else rows.get("q" + before)
    return consumed if isinstance(consumed, int) else 0


def attempt_span(
    context: TaskExecutionContext, origin: TraceOrigin | None = None
) -> AbstractContextManager[object]:
    """A span around one attempt; without an origin it is a child of the current one."""
    tracer = get_tracer()
    return _NOWHERE if tracer is None else _span_around(tracer, context, origin)


def begin_span(
    context: TaskExecutionContext, origin: TraceOrigin | None = None
) -> Span | None:
    """A span of an attempt that runs elsewhere; `end_span` ends it."""
    tracer = get_tracer()
    return None if tracer is None else _start_span(tracer, context, origin)


def end_span(span: Span, outcome: Outcome | None) -> None:
    """End the span of an attempt by its outcome; None: it was ended from outside."""
    if outcome is None or outcome.result == "withdrawn":
        set_error(span, "withdrawn", "it was ended from outside")
    elif outcome.result == "failed":
        error_class = outcome.details.error_class or outcome.error_type
        set_error(span, error_class, bounded(outcome.error))
        span.add_event(
            "exception",
            {
                "exception.type": bounded(error_class),
                "exception.message": bounded(outcome.error),
                "exception.stacktrace": outcome.details.traceback[-STACK_MAX:],
            },
        )
    span.end()


def _start_span(
    tracer: Tracer, context: TaskExecutionContext, origin: TraceOrigin | None
) -> Span:
    attributes: dict[str, str | int] = {
        SPAN_WORKFLOW: bounded(context.workflow_id),
        SPAN_INSTANCE_ID: bounded(context.instance_id),
        SPAN_TASK_ID: bounded(context.task_id),
        SPAN_ATTEMPT: context.attempt,
        SPAN_RUN: context.run,
    }
    if origin is not None:
        attributes[SPAN_PATH] = bounded(origin.path)
    return tracer.start_span(
        f"attempt {bounded(context.task_id)}",
        context=None if origin is None else parent_context(origin.parent),
        links=() if origin is None else links_to(origin.links),
        attributes=attributes,
    )


@contextmanager
def _span_around(
    tracer: Tracer, context: TaskExecutionContext, origin: TraceOrigin | None
) -> Generator[Span]:
    from opentelemetry.trace import use_span  # noqa: PLC0415 (optional)

    with use_span(
        _start_span(tracer, context, origin),
        end_on_exit=True,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except Exception as error:
            record_error(span, error)
            raise
        except BaseException as error:  # cancelled, timed out, or the process ends
            set_error(span, type(error).__name__, "it was ended from outside")
            raise
