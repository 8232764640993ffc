"""The environment: its defaults, and every bad value named at once."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import pytest

from sayiir_es.client.backends import KafkaBackend, backend_from_url
from sayiir_es.client.worker import WorkerLimits
from sayiir_es.core.model.errors import SettingsError
from sayiir_es.engine.worker_settings import (
    FORK_READ_LIMIT_S,
    configured_fork_read_s,
    configured_handover_s,
)
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
    assert settings.file_access == "owner"
    assert not settings.file_on_any_disk
    assert (settings.handover, settings.fork_read_limit) == (None, None)
    assert configured_fork_read_s() == FORK_READ_LIMIT_S


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
    monkeypatch.setenv("SAYIIR_FILE_ACCESS", "Group")
    monkeypatch.setenv("SAYIIR_FILE_ON_ANY_DISK", "yes")
    monkeypatch.setenv("SAYIIR_FORK_READ_LIMIT", "5m")
    settings = load_settings()
    assert settings.file_access == "group"
    assert settings.file_on_any_disk
    assert settings.handover == 120.0
    assert settings.fork_read_limit == configured_fork_read_s() == 300.0
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


SECRETS = [
    "kafka://bob:hunter2@h:9092/app",
    "kafka://bob:hunt@er2@h:9092/app",
    "kafka:bob:hunter2@h",
    "kafka+ssl://bob:hunter2@h:1/app",
    "KAFKA://bob:hunter2@h:1/app",
    "kafka://h:9092/app?sasl.password=hunter2",
    "postgres://bob:hunter2@db",
]


@pytest.mark.parametrize("url", SECRETS)
def test_a_url_with_a_password_is_refused_without_showing_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="expected") as by_call:
        backend_from_url(url)
    monkeypatch.setenv("SAYIIR_BACKEND", url)
    with pytest.raises(SettingsError) as by_environment:
        load_settings()
    for caught in (by_call, by_environment):
        text = f"{caught.value!r}" + "".join(traceback.format_exception(caught.value))
        assert "hunt" not in text
        assert "***" in text


def test_brokers_with_a_password_are_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="SAYIIR_KAFKA_CONFIG") as caught:
        KafkaBackend("bob:hunter2@h:9092")
    assert "hunter2" not in str(caught.value)


def test_limits_of_a_worker_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert WorkerLimits().configured() == {
        "drain_s": 10.0,
        "handover_s": 30.0,
        "cancel_grace_s": 10.0,
    }
    monkeypatch.setenv("SAYIIR_DRAIN", "1m")
    monkeypatch.setenv("SAYIIR_HANDOVER", "2")
    monkeypatch.setenv("SAYIIR_CANCEL_GRACE", "500ms")
    assert WorkerLimits(handover_s=0.0).configured() == {
        "drain_s": 60.0,
        "handover_s": 0.0,
        "cancel_grace_s": 0.5,
    }


def test_how_kafka_is_reached_is_read_from_the_environment_and_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "client.properties"
    file.write_text("session.timeout.ms=9000\nclient.id=shop\n")
    monkeypatch.setenv("SAYIIR_KAFKA_CONFIG", str(file))
    monkeypatch.setenv("SAYIIR_SESSION_TIMEOUT", "12s")
    monkeypatch.setenv("SAYIIR_KAFKA_REQUEST_TIMEOUT", "1.5")
    log = KafkaBackend("h:1", state_dir=tmp_path).open_kafka_log()
    assert (log.session_timeout_ms, log.heartbeat_interval_ms) == (12_000, 1000)
    assert log.client_options == {"client_id": "shop", "request_timeout_ms": 1500}
    own = KafkaBackend(
        "h:1", state_dir=tmp_path, session_timeout_ms=3000, client_id="own"
    )
    log = own.open_kafka_log()
    assert log.session_timeout_ms == 3000
    assert log.client_options["client_id"] == "own"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        (
            "KAFKA_SECURITY_PROTOCOL",
            "tls",
            "expected 'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT'",
        ),
        ("KAFKA_SASL_MECHANISM", "GSSAPI", "expected 'PLAIN', 'SCRAM-SHA-256'"),
        ("SESSION_TIMEOUT", "long", "expected seconds, or a text such as 45s"),
    ],
)
def test_a_wrong_value_for_kafka_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(f"SAYIIR_{name}", value)
    with pytest.raises(SettingsError, match=f"SAYIIR_{name}: {problem}"):
        load_settings()


def test_files_of_certificates_and_the_times_of_a_group_reach_the_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SAYIIR_KAFKA_SECURITY_PROTOCOL", "SSL")
    for name in ("CAFILE", "CERTFILE", "KEYFILE"):
        monkeypatch.setenv(f"SAYIIR_KAFKA_SSL_{name}", str(tmp_path / name))
        with pytest.raises(SettingsError, match=name):
            KafkaBackend("h:1", state_dir=tmp_path).open_kafka_log()
        monkeypatch.delenv(f"SAYIIR_KAFKA_SSL_{name}")
    monkeypatch.delenv("SAYIIR_KAFKA_SECURITY_PROTOCOL")
    monkeypatch.setenv("SAYIIR_SESSION_TIMEOUT", "12s")
    assert KafkaBackend("h:1").open_kafka_log().session_timeout_ms == 12_000
    monkeypatch.setenv("SAYIIR_HEARTBEAT_INTERVAL", "250ms")
    assert KafkaBackend("h:1").open_kafka_log().heartbeat_interval_ms == 250
    assert KafkaBackend("h:1").open_kafka_log().group_instance_id is None
    monkeypatch.setenv("SAYIIR_GROUP_INSTANCE_ID", "shop.worker-0")
    assert KafkaBackend("h:1").open_kafka_log().group_instance_id == "shop.worker-0"
    own = KafkaBackend("h:1", group_instance_id="mine")
    assert own.open_kafka_log().group_instance_id == "mine"
    monkeypatch.setenv("SAYIIR_GROUP_INSTANCE_ID", "shop/worker-0")
    with pytest.raises(SettingsError, match="SAYIIR_GROUP_INSTANCE_ID: expected 1 to"):
        KafkaBackend("h:1").open_kafka_log()


def test_no_password_is_in_the_text_of_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SAYIIR_KAFKA_SASL_PASSWORD", "hunter2")
    monkeypatch.setenv("SAYIIR_KAFKA_SSL_KEY_PASSWORD", "hunter2")
    assert "hunter2" not in repr(load_settings())
    monkeypatch.setenv("SAYIIR_LOG_LEVEL", "loud")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


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
