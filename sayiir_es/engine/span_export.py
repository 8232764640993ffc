"""Where spans are exported to, by OpenTelemetry's own settings.

`OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER` and the endpoint say whether at all; what
else `OTEL_*` says of sampling, batches, limits, headers and time-outs the SDK reads
itself. Nothing of OpenTelemetry is imported before something is to be exported.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

ENDPOINTS: Final = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
)
PROTOCOLS: Final = (
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
)
EXPORTER: Final = "OTEL_TRACES_EXPORTER"
DISABLED: Final = "OTEL_SDK_DISABLED"
SERVICE_NAME: Final = "OTEL_SERVICE_NAME"
RESOURCE: Final = "OTEL_RESOURCE_ATTRIBUTES"
DEFAULT_SERVICE: Final = "sayiir-es"

PROTOCOL: Final = "http/protobuf"
KNOWN_EXPORTERS: Final = ("otlp", "console")


def choose_exporters(
    environ: Mapping[str, str] | None = None,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The exporters that the environment asks for, and what is wrong with it.

    None where it sets no endpoint and names no exporter, or says that there is to be
    none.
    """
    settings = os.environ if environ is None else environ
    if _word(settings, DISABLED) == "true":
        return (), ()
    named = _word(settings, EXPORTER)
    has_endpoint = any(_word(settings, name) for name in ENDPOINTS)
    if not named:
        named = "otlp" if has_endpoint else "none"
    words = [word for part in named.split(",") if (word := part.strip())]
    known = tuple(dict.fromkeys(word for word in words if word in KNOWN_EXPORTERS))
    warnings = [
        f"expected {EXPORTER} to be none, console or otlp, but {word!r}: nothing is "
        "exported to that"
        for word in words
        if word not in {*KNOWN_EXPORTERS, "none"}
    ]
    if "otlp" in known:
        protocol = next((w for name in PROTOCOLS if (w := _word(settings, name))), "")
        if protocol not in {"", PROTOCOL}:
            warnings.append(
                f"expected {PROTOCOLS[1]} to be {PROTOCOL}, but {protocol!r}: spans go "
                f"by {PROTOCOL}"
            )
    return known, tuple(warnings)


def make_provider(exporters: Iterable[str]) -> TracerProvider:
    """A provider that exports so.

    Raises:
        ImportError: if the extra `otel` is not installed.
    """
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 (optional)
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 (optional)

    provider = TracerProvider(resource=Resource.create(_own_attributes(os.environ)))
    for name in exporters:
        provider.add_span_processor(_make_processor(name))
    return provider


def _make_processor(name: str) -> Any:
    from opentelemetry.sdk.trace.export import (  # noqa: PLC0415 (optional)
        BatchSpanProcessor,
        ConsoleSpanExporter,
        SimpleSpanProcessor,
    )

    if name == "console":  # stdout is for data
        return SimpleSpanProcessor(
            ConsoleSpanExporter(out=sys.stderr, formatter=_to_line)
        )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 (optional)
        OTLPSpanExporter,
    )

    return BatchSpanProcessor(OTLPSpanExporter())


def _to_line(span: ReadableSpan) -> str:
    text: str = span.to_json(indent=None)
    return text + "\n"


def _own_attributes(settings: Mapping[str, str]) -> dict[str, Any]:
    """What the resource says where the environment does not name the service."""
    pairs = settings.get(RESOURCE, "").split(",")
    names = [pair.partition("=")[0].strip() for pair in pairs]
    is_named = _word(settings, SERVICE_NAME) or "service.name" in names
    return {} if is_named else {"service.name": DEFAULT_SERVICE}


def _word(settings: Mapping[str, str], name: str) -> str:
    text = settings.get(name, "").strip()
    return text if name in {*ENDPOINTS, SERVICE_NAME} else text.lower()
