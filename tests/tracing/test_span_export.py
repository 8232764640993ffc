"""What the environment says of the export of spans."""

from __future__ import annotations

import pytest

from sayiir_es.engine.span_export import choose_exporters, make_provider

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
TRACES = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}


@pytest.mark.parametrize(
    ("environ", "exporters"),
    [
        ({}, ()),
        (ENDPOINT, ("otlp",)),
        (TRACES, ("otlp",)),
        (ENDPOINT | {"OTEL_SDK_DISABLED": " TRUE "}, ()),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "false"}, ("otlp",)),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, ()),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": ""}, ("otlp",)),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "console"}, ("console",)),
        ({"OTEL_TRACES_EXPORTER": "Otlp"}, ("otlp",)),
        ({"OTEL_TRACES_EXPORTER": "console, otlp"}, ("console", "otlp")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, ()),
        ({"OTEL_SERVICE_NAME": "till"}, ()),
    ],
)
def test_the_environment_chooses_exporters(
    environ: dict[str, str], exporters: tuple[str, ...]
) -> None:
    assert choose_exporters(environ) == (exporters, ())


def test_an_exporter_that_is_unknown_is_said() -> None:
    exporters, (warning,) = choose_exporters({"OTEL_TRACES_EXPORTER": "zipkin,console"})
    assert exporters == ("console",)
    assert warning == (
        "expected OTEL_TRACES_EXPORTER to be none, console or otlp, but 'zipkin': "
        "nothing is exported to that"
    )


def test_a_protocol_that_is_not_ours_is_said() -> None:
    exporters, (warning,) = choose_exporters(
        ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    )
    assert exporters == ("otlp",)
    assert "'grpc': spans go by http/protobuf" in warning
    chosen = {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}
    assert choose_exporters(ENDPOINT | chosen) == (("otlp",), ())


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "sayiir-es"),
        ({"OTEL_SERVICE_NAME": "till"}, "till"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop,region=eu"}, "shop"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "region=eu"}, "sayiir-es"),
    ],
)
def test_the_environment_names_the_service(
    environ: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    assert make_provider(()).resource.attributes["service.name"] == name
