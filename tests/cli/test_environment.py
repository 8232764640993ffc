"""The settings are read where the environment holds one that has to be checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sayiir_es.cli.environment import read_settings
from sayiir_es.client.backends import InMemoryBackend
from sayiir_es.core.model.errors import SettingsError
from sayiir_es.environment import tell_unknown, unknown_variables
from sayiir_es.settings import Settings, load_settings
from tests.captured_logs import capture_logs

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SAYIIR_{name.upper()}", raising=False)


PLAIN = ["memory:", "file:log.db", "file:/a b/c", "kafka://h:1", "kafka://a:1,b:2/app"]
OTHERS = [
    *("memory:x", "file:", "kafka://", "kafka:///app", "kafka://h:1/a/b", "http://h"),
    *("kafka://h:1/app?x=1", "kafka://[::1]:9092/app", "file:a\nb", " memory:"),
]


@pytest.mark.parametrize("url", ["", *PLAIN])
def test_a_plain_backend_needs_no_settings(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAYIIR_BACKEND", url)
    assert read_settings() is None
    load_settings()  # which finds nothing wrong either


@pytest.mark.parametrize("url", OTHERS)
def test_any_other_backend_is_checked_by_the_settings(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAYIIR_BACKEND", url)
    try:
        settings = load_settings()
    except SettingsError:
        with pytest.raises(SettingsError, match="SAYIIR_BACKEND"):
            read_settings()
    else:
        assert read_settings() == settings


@pytest.mark.parametrize("name", ["SAYIIR_LOG_LEVEL", "sayiir_log_level"])
def test_any_other_variable_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "debug")
    settings = read_settings()
    assert settings is not None
    assert settings.log_level == "debug"


def test_a_command_without_a_backend_still_checks_its_settings(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAYIIR_LOG_LEVEL", "loud")
    answer = terminal("schema list")
    assert answer.code == 2
    assert "SAYIIR_LOG_LEVEL" in answer.err


@pytest.mark.parametrize("way", ["--kafka-config", "SAYIIR_KAFKA_CONFIG"])
def test_a_file_for_kafka_is_read_by_every_command(
    terminal: Terminal, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens there: what is wrong with the file is told before that."""
    file = terminal.cwd / "client.properties"
    option = f" {way} {file}"
    if way.startswith("SAYIIR"):
        monkeypatch.setenv(way, str(file))
        option = ""
    monkeypatch.setenv("SAYIIR_BACKEND", "kafka://127.0.0.1:1/app")
    file.write_text("client.id=shop\nrequest.timeout.ms=soon\n")
    for verb in ("instance list", "partition list", "topic check", "audit verify"):
        answer = terminal(f"{verb}{option}")
        assert answer.code == 2
        assert f"{file}, line 2: request.timeout.ms: expected millisec" in answer.err
    # It ends at the next check, before it reaches a broker.
    file.write_text("sasl.usernam=bob\nsession.timeout.ms=9\nheartbeat.interval.ms=9\n")
    warning, error, *_ = terminal(f"instance list{option}").err.splitlines()
    assert warning == (
        f"warning: {file}, line 1: sasl.usernam is not known here, and has no effect"
    )
    assert "expected a heartbeat interval below the session time-out" in error


@pytest.fixture
def _nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sayiir_es.environment._Told.is_told", False)


@pytest.mark.usefixtures("_nothing_told")
def test_a_variable_that_names_no_setting_is_told_once(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAYIIR_DRIAN", "1s")
    told = terminal("schema list").err
    assert "SAYIIR_DRIAN names none, and is ignored; is SAYIIR_DRAIN meant?" in told
    assert "SAYIIR_DRIAN" not in terminal("schema list").err
    texts: list[str] = []
    tell_unknown(texts.append)
    assert not texts


@pytest.mark.usefixtures("_nothing_told")
def test_a_program_with_a_backend_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAYIIR_DRIAN", "1s")
    with InMemoryBackend() as backend, capture_logs() as lines:
        assert backend.session is backend.session
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("settings.ignored", "warning")
    assert "is SAYIIR_DRAIN meant?" in line["reason"]


def test_variables_of_others_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "SAYIIR_SERVICE_HOST",
        "SAYIIR_PAGES_SERVICE_PORT_HTTP",
        "SAYIIR_PAGES_PORT_8080_TCP_ADDR",
        "SAYIIR_PORT",
        "SAYIIR_TEST_KAFKA",
        "SAYIIR_ES_TEST_SEED",
        "SAYIIR_DRAIN",
        "sayiir_handover",
        "SAYIIR",
    ):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("SAYIIR_XYZ", "")
    assert unknown_variables() == []
    monkeypatch.setenv("SAYIIR_XYZ", "1")
    (text,) = unknown_variables()
    assert text.endswith("but SAYIIR_XYZ names none, and is ignored")
