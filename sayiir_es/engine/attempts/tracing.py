"""Spans of attempts: where OpenTelemetry is installed, and `init_tracing` was called.

A program that has set up a tracer provider keeps it: our spans go there. Without one
they are exported by OTLP over HTTP, if `OTEL_EXPORTER_OTLP_ENDPOINT` says where to; the
SDK that it takes is the extra `otel`. Until `init_tracing` an attempt pays one look at
a name.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import SettingsError
from sayiir_es.telemetry import ATTEMPT, INSTANCE_ID, TASK_ID, WORKFLOW

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

    from sayiir_es.engine.attempts.task_context import TaskExecutionContext

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
SERVICE_NAME = "OTEL_SERVICE_NAME"
DEFAULT_SERVICE = "sayiir-es"

_NOTHING: AbstractContextManager[object] = nullcontext()


class _Tracing:
    """What this process traces with."""

    tracer: Tracer | None = None
    provider: TracerProvider | None = None


def init_tracing() -> None:
    """Trace attempts.

    Idempotent. Spans are exported when `OTEL_EXPORTER_OTLP_ENDPOINT` is set, under
    `OTEL_SERVICE_NAME`. How the program logs stays as it is.

    Raises:
        SettingsError: if an endpoint is set, and the extra `otel` is not installed.
    """
    if _Tracing.tracer is not None:
        return
    exports = bool(os.environ.get(ENDPOINT))
    try:
        from opentelemetry import trace  # noqa: PLC0415 (optional)

        if exports and isinstance(
            trace.get_tracer_provider(), trace.ProxyTracerProvider
        ):
            _Tracing.provider = _exporting_provider()
    except ImportError as error:
        if not exports:
            return
        raise SettingsError(
            f"expected the packages of the extra `otel`, because {ENDPOINT} is set, "
            f"but {error.name} is not installed: pip install 'sayiir-es[otel]'"
        ) from error
    _Tracing.tracer = trace.get_tracer("sayiir_es", tracer_provider=_Tracing.provider)


def shutdown_tracing() -> None:
    """Export what is still pending, and trace no more; call it before the exit."""
    provider, _Tracing.provider, _Tracing.tracer = _Tracing.provider, None, None
    if provider is not None:
        provider.shutdown()


def is_tracing() -> bool:
    """Whether attempts have spans."""
    return _Tracing.tracer is not None


def attempt_span(context: TaskExecutionContext) -> AbstractContextManager[object]:
    """A span around one attempt; spans of the task's own become its children."""
    tracer = _Tracing.tracer
    if tracer is None:
        return _NOTHING
    return tracer.start_as_current_span(
        "task",
        attributes={
            WORKFLOW: context.workflow_id,
            INSTANCE_ID: context.instance_id,
            TASK_ID: context.task_id,
            ATTEMPT: context.attempt,
        },
    )


def _exporting_provider() -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 (optional)
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 (optional)
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 (optional)
    from opentelemetry.sdk.trace.export import (  # noqa: PLC0415 (optional)
        BatchSpanProcessor,
    )

    named = os.environ.get(SERVICE_NAME)
    resource = Resource.create({} if named else {"service.name": DEFAULT_SERVICE})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
