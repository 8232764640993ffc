"""In a program of somebody else's: its provider is used, and nothing is set up."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from typing import TYPE_CHECKING, Literal

from sayiir_es import Flow, InMemoryBackend, run_durable_workflow, task
from sayiir_es.telemetry import configure_logging, get_logger
from tests.captured_logs import capture_logs
from tests.cli.processes import ROOT
from tests.tracing.spans import Spans, id_of, parent_of, trace_of

if TYPE_CHECKING:
    from collections.abc import Iterator

import pytest


@task
def double(number: int) -> int:
    return number * 2


doubling = Flow("doubling").then(double).build()

PROGRAM = """
import sys
from sayiir_es import Flow, InMemoryBackend, run_durable_workflow, task

@task
def double(number):
    return number * 2

flow = Flow("doubling").then(double).build()
with InMemoryBackend() as backend:
    assert run_durable_workflow(flow, "i", 4, backend).output == 8
print(*(name for name in sys.modules if name.startswith("opentelemetry")))
"""

HOST = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sayiir_es import Flow, InMemoryBackend, run_durable_workflow, task

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)

@task
def double(number):
    return number * 2

flow = Flow("doubling").then(double).build()
with InMemoryBackend() as backend:
    assert run_durable_workflow(flow, "i", 4, backend).output == 8
assert trace.get_tracer_provider() is provider
print(*sorted({span.name.partition(" ")[0] for span in exporter.get_finished_spans()}))
"""


def printed_by(program: str, **environment: str) -> str:
    """What a program prints that runs with these variables only."""
    process = subprocess.run(  # noqa: S603 (ours)
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env=environment,
        text=True,
        timeout=60,
    )
    return process.stdout.strip()


def test_a_program_without_opentelemetry_does_not_import_it() -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    assert printed_by(PROGRAM, **endpoint) == ""


def test_spans_go_to_the_provider_that_a_program_has_set() -> None:
    assert printed_by(HOST) == "append attempt decide send"


def test_a_client_s_command_is_in_the_current_span_s_trace(spans: Spans) -> None:
    with InMemoryBackend() as backend:
        with spans.tracer.start_as_current_span("handle a request"):
            status = run_durable_workflow(doubling, "i", 4, backend)
        assert status.output == 8
    request = spans.one("handle a request")
    send, decide = spans.one("send commands"), spans.one("decide commands")
    attempt = spans.one("attempt double")
    assert parent_of(send) == id_of(request)
    assert parent_of(decide) == id_of(send)
    assert parent_of(attempt) == id_of(decide)
    assert trace_of(attempt) == trace_of(request)


@pytest.fixture
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_restored_logging")
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_log_lines_have_the_ids_of_the_current_span(
    spans: Spans, log_format: Literal["json", "console"]
) -> None:
    stream = io.StringIO()
    configure_logging(
        format="json" if log_format == "json" else "console", stream=stream
    )
    with spans.tracer.start_as_current_span("handle a request"):
        get_logger("sayiir_es.test").info("partition.claimed", partition=3)
        logging.getLogger("shop").warning("sold out")
    get_logger("sayiir_es.test").info("partition.claimed", partition=4)
    request = spans.one("handle a request")
    ours, library, outside = stream.getvalue().splitlines()
    for line in (ours, library):
        if log_format == "json":
            data = json.loads(line)
            assert data["trace_id"] == trace_of(request)
            assert data["span_id"] == id_of(request)
        else:
            assert f"trace_id={trace_of(request)}" in line
            assert f"span_id={id_of(request)}" in line
    assert "trace_id" not in outside


def test_the_lines_of_a_host_program_have_them_as_data(spans: Spans) -> None:
    with capture_logs() as lines, spans.tracer.start_as_current_span("handle"):
        get_logger("sayiir_es.test").warning("partition.claimed", partition=3)
    assert lines[0]["trace_id"] == trace_of(spans.one("handle"))
