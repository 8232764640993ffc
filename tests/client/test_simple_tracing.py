"""Spans of the simple engine: one around each attempt, those of its task inside."""

from __future__ import annotations

import pytest
from opentelemetry import trace

from sayiir_es import Flow, RetryPolicy, get_task_context, task
from tests.client.simple_ways import Kind, Run, every_kind, every_way, of_kind
from tests.tracing.spans import Spans, said_by

QUICK = RetryPolicy(max_retries=1, initial_delay_secs=0.001)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Spans:
    """What this process traces from now on."""
    return Spans(monkeypatch)


@every_way
@every_kind
@pytest.mark.parametrize("timeout", [None, 10])
def test_each_attempt_has_a_span(
    run: Run, kind: Kind, timeout: int | None, spans: Spans
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
    ended = spans.ended()
    assert [span.name for span in ended] == ["attempt t", "attempt t"]
    assert [span.parent for span in ended] == [None, None]
    attributes = [said_by(span) for span in ended]
    assert [a["sayiir.task.attempt"] for a in attributes] == [1, 2]
    if kind != "awaitable":  # its span has ended when what it returned is awaited
        ids = [span.context.span_id for span in ended if span.context is not None]
        assert current == ids
