"""The environment: its defaults, and every bad value named at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sayiir_es.client.backends import backend_from_url
from sayiir_es.core.model.errors import SettingsError
from sayiir_es.engine.worker_settings import configured_handover_s
from sayiir_es.settings import Settings, load_settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SAYIIR_{name.upper()}", raising=False)


def test_an_empty_environment_means_the_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SAYIIR_LOG_LEVEL", "")
    settings = load_settings()
    assert settings.backend == "file:.sayiir/log.db"
    assert settings.state_dir is None
    assert (settings.log_level, settings.log_format) == ("info", None)
    assert settings.handover is None


def test_each_variable_of_the_environment_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SAYIIR_BACKEND", "kafka://a:9092,b:9092/orders")
    monkeypatch.setenv("SAYIIR_STATE_DIR", str(tmp_path / "new"))
    monkeypatch.setenv("SAYIIR_LOG_LEVEL", "Warning")
    monkeypatch.setenv("SAYIIR_LOG_FORMAT", "JSON")
    monkeypatch.setenv("SAYIIR_SCHEMA_REGISTRY_URL", "http://registry:8081")
    monkeypatch.setenv("SAYIIR_CLOUD_EVENTS", "true")
    monkeypatch.setenv("SAYIIR_SIGNING_KEY", "signing.pem")
    monkeypatch.setenv("SAYIIR_SNAPSHOTS_TOPIC", "true")
    monkeypatch.setenv("SAYIIR_HANDOVER", "2m")
    settings = load_settings()
    assert settings.handover == 120.0
    assert settings.snapshots_topic
    assert str(settings.signing_key) == "signing.pem"
    assert settings.schema_registry_url == "http://registry:8081"
    assert settings.cloud_events
    assert settings.backend == "kafka://a:9092,b:9092/orders"
    assert settings.state_dir == tmp_path / "new"
    assert (settings.log_level, settings.log_format) == ("warning", "json")


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0.0), ("45", 45.0), ("1.5", 1.5), ("100ms", 0.1)]
)
def test_a_hand_over_is_a_number_of_seconds_or_a_duration(
    monkeypatch: pytest.MonkeyPatch, text: str, seconds: float
) -> None:
    monkeypatch.setenv("SAYIIR_HANDOVER", text)
    assert load_settings().handover == seconds
    assert configured_handover_s() == seconds


@pytest.mark.parametrize("text", ["soon", "-1", "inf", "nan", "1e9999"])
def test_a_hand_over_of_no_length_is_refused(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("SAYIIR_HANDOVER", text)
    with pytest.raises(SettingsError, match="SAYIIR_HANDOVER: expected seconds"):
        load_settings()


def test_every_bad_value_is_named_at_once_with_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("SAYIIR_BACKEND", "postgres://db")
    monkeypatch.setenv("SAYIIR_STATE_DIR", str(file))
    monkeypatch.setenv("SAYIIR_LOG_LEVEL", "loud")
    monkeypatch.setenv("SAYIIR_LOG_FORMAT", "xml")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    message = str(caught.value)
    assert "SAYIIR_BACKEND: expected memory:, file:PATH or kafka://" in message
    assert "but 'postgres://db'" in message
    assert f"SAYIIR_STATE_DIR: expected a directory, but {str(file)!r}" in message
    assert "SAYIIR_LOG_LEVEL: expected 'debug', 'info'" in message
    assert "but 'loud'" in message
    assert "SAYIIR_LOG_FORMAT: expected 'console' or 'json', but 'xml'" in message


URLS = [
    *("memory:", "file:log.db", "file:/tmp/a b.db", "kafka://h:1", "kafka://h:1/app"),
    *("kafka://a:1,b:2/app", "kafka://h:1/app/", "kafka://h:1/", "kafka://h:1/a-b.c"),
    *("memory:x", "file:", "kafka://", "kafka:///app", "kafka://h:1/a/b", "http://h"),
    *("kafka://h:1/app?x=1", "postgres://h", "kafka:h:1", " memory:"),
]


@pytest.mark.parametrize("url", URLS)
def test_settings_take_exactly_the_urls_that_name_a_backend(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAYIIR_BACKEND", url)
    try:
        backend_from_url(url)
    except ValueError:
        with pytest.raises(SettingsError):
            load_settings()
    else:
        assert load_settings().backend == url
