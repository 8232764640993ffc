"""Whether this process traces, and the pieces that its spans are made of.

Theory of operation. A library configures nothing: where a program has set up a tracer
provider, our spans go there, and where it has not even imported OpenTelemetry, neither
do we. So all that an untraced call pays is one look at a name. Our own programs set up
a provider (`span_export`). A program that wants spans and has no provider of its own
calls `init_tracing`.
"""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any, Final

from sayiir_es.core.model.errors import SettingsError
from sayiir_es.engine.span_export import (
    ENDPOINTS,
    choose_exporters,
    make_provider,
)
from sayiir_es.wire.trace_context import parse_traceparent, write_traceparent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Link, Span, SpanContext, Tracer

SCOPE: Final = "sayiir_es"
"""The name of our tracer: what collectors call the instrumentation scope."""

TEXT_MAX: Final = 1_024
"""Characters of one attribute: an id, a name, an error's text."""

STACK_MAX: Final = 16_384
"""Characters of a traceback in the event of an exception; its end is kept."""

LINKS_MAX: Final = 128
"""Links of one span: as many as the SDK keeps."""

_API = "opentelemetry.trace"


class _Tracing:
    """What this process traces with."""

    tracer: Tracer | None = None
    provider: TracerProvider | None = None
    is_off = False
    """Since `shutdown_tracing`."""


def init_tracing() -> None:
    """Trace attempts, decisions and commands in a program of your own.

    Idempotent. Where the program has set up a tracer provider, spans go there, also
    without this call. Else they are exported as `OTEL_*` says, by a provider that is
    not the program's. How the program logs stays as it is.

    Raises:
        SettingsError: if spans are to be exported, and the extra `otel` is not
            installed.
    """
    if _Tracing.tracer is not None:
        return
    _Tracing.is_off = False
    exporters, _ = choose_exporters()
    try:
        from opentelemetry import trace  # noqa: PLC0415 (optional)

        if exporters and isinstance(
            trace.get_tracer_provider(), trace.ProxyTracerProvider
        ):
            _Tracing.provider = make_provider(exporters)
    except ImportError as error:
        if not exporters:
            return
        raise SettingsError(
            f"expected the packages of the extra `otel`, because {ENDPOINTS[0]} is "
            f"set, but {error.name} is not installed: pip install 'sayiir-es[otel]'"
        ) from error
    _Tracing.tracer = trace.get_tracer(SCOPE, tracer_provider=_Tracing.provider)


def shutdown_tracing() -> None:
    """Export what is still pending, and trace no more; call it before the exit."""
    provider, _Tracing.provider, _Tracing.tracer = _Tracing.provider, None, None
    _Tracing.is_off = True
    if provider is not None:
        provider.shutdown()


def use_provider(provider: TracerProvider) -> None:
    """Trace with a provider that ends with this process."""
    _Tracing.is_off = False
    _Tracing.provider = provider
    _Tracing.tracer = provider.get_tracer(SCOPE)


def get_tracer() -> Tracer | None:
    """What spans are made with; None where this process does not trace."""
    tracer = _Tracing.tracer
    if tracer is not None or _Tracing.is_off:
        return tracer
    api = sys.modules.get(_API)
    return None if api is None else _find_host_tracer(api)


def is_tracing() -> bool:
    """Whether attempts have spans."""
    return get_tracer() is not None


def _find_host_tracer(api: Any) -> Tracer | None:
    """The tracer of the provider that the program has set up, if it has."""
    get_provider = getattr(api, "get_tracer_provider", None)
    if get_provider is None:
        return None  # another thread is importing it
    provider = get_provider()
    if isinstance(provider, api.ProxyTracerProvider):
        return None
    tracer: Tracer = provider.get_tracer(SCOPE)
    _Tracing.tracer = tracer
    return tracer


# --- trace contexts -------------------------------------------------------------------


def current_traceparent() -> str | None:
    """The trace context of the caller, also where only its program traces."""
    api: Any = sys.modules.get(_API)
    get_span = getattr(api, "get_current_span", None)
    return None if get_span is None else traceparent_of_span(get_span())


def traceparent_of_span(span: Span) -> str | None:
    """The context of a span; None if it has none."""
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return write_traceparent(context.trace_id, context.span_id, context.trace_flags)


def parent_context(traceparent: str | None) -> Context:
    """The context for a child of that span; without it for the first of a trace."""
    from opentelemetry import trace  # noqa: PLC0415 (optional)
    from opentelemetry.context import Context  # noqa: PLC0415 (optional)

    remote = _remote(traceparent)
    if remote is None:
        return Context()
    return trace.set_span_in_context(trace.NonRecordingSpan(remote), Context())


def links_to(traceparents: Iterable[str | None]) -> list[Link]:
    """Links to spans, each once."""
    from opentelemetry.trace import Link  # noqa: PLC0415 (optional)

    contexts = map(_remote, dict.fromkeys(traceparents))
    links = [Link(context) for context in contexts if context is not None]
    return links[:LINKS_MAX]


def _remote(traceparent: str | None) -> SpanContext | None:
    from opentelemetry.trace import SpanContext, TraceFlags  # noqa: PLC0415 (optional)

    parts = parse_traceparent(traceparent)
    if parts is None:
        return None
    trace_id, span_id, flags = parts
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))


# --- what a span says -----------------------------------------------------------------


def bounded(text: str, limit: int = TEXT_MAX) -> str:
    """A text that is no longer than a span's attribute may be."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def record_error(span: Span, error: BaseException) -> None:
    """Say on a span that it ended in an error: status, and event of the exception."""
    kind = type(error)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind.__module__ == "builtins":
        name = kind.__qualname__
    lines = "".join(traceback.format_exception(error))
    only = "".join(traceback.format_exception_only(error))  # also of a broken `__str__`
    text = bounded(only.rstrip().removeprefix(f"{name}: "))
    set_error(span, name, text)
    span.add_event(
        "exception",
        {
            "exception.type": bounded(name),
            "exception.message": text,
            "exception.stacktrace": lines[-STACK_MAX:],
        },
    )


def set_error(span: Span, error_type: str, text: str) -> None:
    """Say on a span that it ended in an error that is no exception."""
    from opentelemetry.trace import StatusCode  # noqa: PLC0415 (optional)

    span.set_status(StatusCode.ERROR, bounded(text))
    span.set_attribute("error.type", bounded(error_type))
