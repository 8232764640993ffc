"""Spans of the simple engine: one around each attempt, those of its task inside."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sayiir_es import Flow, RetryPolicy, get_task_context, task
from sayiir_es.engine.attempts import tracing
from tests.client.simple_ways import Kind, Run, every_kind, every_way, of_kind

QUICK = RetryPolicy(max_retries=1, initial_delay_secs=0.001)


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    state = tracing._Tracing  # pyright: ignore[reportPrivateUsage]  # no global provider
    monkeypatch.setattr(state, "tracer", provider.get_tracer("test"))
    return exporter


@every_way
@every_kind
@pytest.mark.parametrize("timeout", [None, 10])
def test_each_attempt_has_a_span(
    run: Run, kind: Kind, timeout: int | None, exporter: InMemorySpanExporter
) -> None:
    current: list[int] = []

    def flaky(value: object) -> object:
        context = get_task_context()
        assert context is not None
        current.append(trace.get_current_span().get_span_context().span_id)
        if context.attempt == 1:
            raise ValueError("not yet")
        return value

    function = task("t", timeout=timeout, retries=QUICK)(of_kind(kind, flaky))
    assert run(Flow("traced").then(function).build(), 1) == 1
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["task", "task"]
    assert [span.parent for span in spans] == [None, None]
    attributes = [span.attributes for span in spans if span.attributes is not None]
    assert [a["attempt"] for a in attributes] == [1, 2]
    if kind != "awaitable":  # its span has ended when what it returned is awaited
        ids = [span.context.span_id for span in spans if span.context is not None]
        assert current == ids
