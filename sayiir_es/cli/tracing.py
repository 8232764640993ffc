"""The spans of a command of ours: exported as `OTEL_*` says, or not at all.

The command line is our own program, so it sets the tracer provider that tasks and their
libraries find, too. One that is there already, as `opentelemetry-instrument` sets it,
is kept. Nothing of OpenTelemetry is imported where nothing is exported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.engine.span_export import ENDPOINTS, choose_exporters, make_provider

if TYPE_CHECKING:
    from collections.abc import Callable


def export_spans(warn: Callable[[str], None]) -> None:
    """Begin to export spans, if the environment says so; `warn` is told what is wrong.

    What is pending at the end of the process is exported then.
    """
    exporters, warnings = choose_exporters()
    for text in warnings:
        warn(text)
    if not exporters:
        return
    try:
        from opentelemetry import trace  # noqa: PLC0415 (optional)

        if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            return
        provider = make_provider(exporters)
    except ImportError as error:
        warn(
            f"expected the packages of the extra `otel`, because {ENDPOINTS[0]} or "
            f"OTEL_TRACES_EXPORTER is set, but {error.name} is not installed: no spans "
            "are exported; pip install 'sayiir-es[otel]'"
        )
        return
    trace.set_tracer_provider(provider)
