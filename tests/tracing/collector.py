"""A collector of spans: an HTTP server that takes OTLP, as real ones do."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

LIMIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedSpan:
    """A span as it came."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    links: tuple[str, ...]


@dataclass
class Collector:
    """What was exported to it so far."""

    port: int = 0
    spans: list[ReceivedSpan] = field(default_factory=list[ReceivedSpan])
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def until(self, condition: Callable[[list[ReceivedSpan]], bool]) -> None:
        """Wait until the spans that came satisfy a condition."""
        with self.arrived:
            has_come = self.arrived.wait_for(lambda: condition(self.spans), LIMIT_S)
        assert has_come, [span.name for span in self.spans]

    def until_named(self, *names: str) -> None:
        """Wait until there is a span of each name."""
        wanted = set(names)
        self.until(lambda spans: wanted <= {span.name for span in spans})

    def one(self, name: str) -> ReceivedSpan:
        """The only span of a name."""
        (span,) = (one for one in self.spans if one.name == name)
        return span

    @property
    def environment(self) -> dict[str, str]:
        """What exports to it, soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }


@contextmanager
def collecting() -> Generator[Collector]:
    """A collector on a free port, for as long as the block lasts."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces", self.path
            request = ExportTraceServiceRequest.FromString(body)
            with collector.arrived:
                collector.spans += _spans_of(request)
                collector.arrived.notify_all()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name)
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def _spans_of(request: Any) -> list[ReceivedSpan]:
    spans: list[ReceivedSpan] = []
    for resource in request.resource_spans:
        service = _values(resource.resource.attributes)["service.name"]
        spans += [
            ReceivedSpan(
                service=service,
                name=span.name,
                trace_id=span.trace_id.hex(),
                span_id=span.span_id.hex(),
                parent_id=span.parent_span_id.hex(),
                attributes=_values(span.attributes),
                links=tuple(link.span_id.hex() for link in span.links),
            )
            for scope in resource.scope_spans
            for span in scope.spans
        ]
    return spans


def _values(attributes: Any) -> dict[str, Any]:
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value"))
        for pair in attributes
    }
