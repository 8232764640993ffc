"""An attempt in a process belongs to the trace of its run, and what it traces, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import StatusCode

from sayiir_es import task
from sayiir_es.engine.tracer import current_traceparent
from sayiir_es.wire.trace_context import parse_traceparent
from tests.engine.attempts.processes.process_harness import harness
from tests.tracing.spans import said_by

if TYPE_CHECKING:
    from tests.tracing.spans import Spans


@task(executor="process")
def tells_its_trace(_: object) -> str | None:
    return current_traceparent()


@task(executor="process")
def fails(_: object) -> None:
    raise ValueError("no such order")


async def test_what_a_process_traces_is_below_its_attempt(spans: Spans) -> None:
    async with harness(1) as one:
        told = parse_traceparent(await one.result_of(tells_its_trace))
        await one.run(fails)
    done, failed = spans.ended()
    assert done.context is not None
    assert told is not None
    assert told[:2] == (done.context.trace_id, done.context.span_id)
    assert done.name == "attempt tells_its_trace"
    assert done.status.status_code is StatusCode.UNSET
    assert failed.status.status_code is StatusCode.ERROR
    assert said_by(failed)["error.type"] == "builtins.ValueError"
    (event,) = failed.events
    assert event.attributes is not None
    assert event.attributes["exception.message"] == "ValueError: no such order"
