"""Spans that a process made, in memory, for the tests that look at them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sayiir_es.engine import tracer

if TYPE_CHECKING:
    import pytest
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Tracer

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SENDER = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{SENDER}-01"


class Spans:
    """The spans that have ended, and a tracer for those of a program."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer: Tracer = provider.get_tracer("a program")
        state = tracer._Tracing  # pyright: ignore[reportPrivateUsage]  # no global provider
        monkeypatch.setattr(state, "tracer", provider.get_tracer(tracer.SCOPE))

    def ended(self, beginning: str = "") -> list[ReadableSpan]:
        """Those whose name begins so, in the order in which they ended."""
        spans = self._exporter.get_finished_spans()
        return [span for span in spans if span.name.startswith(beginning)]

    def one(self, name: str) -> ReadableSpan:
        """The only span of a name."""
        (span,) = (one for one in self.ended(name) if one.name == name)
        return span


def trace_of(span: ReadableSpan) -> str:
    """Its trace id, in hex."""
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def id_of(span: ReadableSpan) -> str:
    """Its id, in hex."""
    assert span.context is not None
    return f"{span.context.span_id:016x}"


def parent_of(span: ReadableSpan) -> str | None:
    """The id of its parent, in hex; None for the first span of a trace."""
    return None if span.parent is None else f"{span.parent.span_id:016x}"


def links_of(span: ReadableSpan) -> list[str]:
    """The ids of the spans that it is linked to, in hex."""
    return [f"{link.context.span_id:016x}" for link in span.links]


def said_by(span: ReadableSpan) -> dict[str, object]:
    """Its attributes."""
    return dict(span.attributes or {})
