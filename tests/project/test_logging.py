"""Log lines: for people in a terminal, JSON elsewhere; no id can forge a line."""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import pty
import re
from typing import TYPE_CHECKING, cast

import pytest
import structlog

from sayiir_es import telemetry
from sayiir_es.telemetry import configure_logging
from tests.tree import modules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.settings import LogFormat

HOSTILE = "order-\x1b[2J\x9b1m\n7\x7f\u202e"
"""Clears the screen, begins a line, turns the direction of the text."""


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def log_lines(
    log_format: LogFormat | None, *, hostile: str = HOSTILE, level: str = "info"
) -> str:
    """Return two log lines with this id, ours and a library's."""
    stream = io.StringIO()
    assert level in {"info", "warning"}
    configure_logging(
        level="info" if level == "info" else "warning",
        format=log_format,
        stream=stream,
    )
    telemetry.get_logger("sayiir_es.test").info(
        "partition.claimed", instance_id=hostile, partition=3
    )
    logging.getLogger("aiokafka.test").warning("Unable to reach %s", hostile)
    return stream.getvalue()


def test_lines_are_json_outside_of_a_terminal() -> None:
    ours, library = (json.loads(line) for line in log_lines(None).splitlines())
    assert ours["event"] == "partition.claimed"
    assert ours["instance_id"] == HOSTILE
    assert (ours["partition"], ours["level"]) == (3, "info")
    assert ours["logger"] == "sayiir_es.test"
    assert ours["timestamp"].endswith("Z")
    assert library["logger"] == "aiokafka.test"
    assert library["event"] == f"Unable to reach {HOSTILE}"


def test_lines_are_for_people_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    output = _terminal_output()
    assert "\x1b[" in output
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    assert "partition.claimed" in plain
    assert "instance_id=order-7" in plain


def test_a_terminal_without_colour_is_respected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    output = _terminal_output()
    assert "\x1b" not in output
    assert "instance_id=order-7" in output


def _terminal_output() -> str:
    reader, terminal = pty.openpty()
    try:
        with os.fdopen(terminal, "w", encoding="utf-8") as stream:
            configure_logging(stream=stream)
            telemetry.get_logger("sayiir_es.test").info(
                "partition.claimed", instance_id="order-7"
            )
            stream.flush()
            return os.read(reader, 65536).decode()
    finally:
        os.close(reader)


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_control_characters_of_an_id_are_escaped(log_format: str) -> None:
    own_format = cast("LogFormat", log_format)
    text = log_lines(own_format)
    unprintable = {c for c in text if not c.isprintable()}
    assert unprintable == {"\n"}
    assert text.count("\n") == log_lines(own_format, hostile="tame").count("\n") == 2


def test_a_traceback_in_a_terminal_cannot_forge_a_line_of_log() -> None:
    stream = io.StringIO()
    configure_logging(format="console", stream=stream)
    error = ValueError(f"{HOSTILE}\nforged.line_written")
    telemetry.get_logger("sayiir_es.test").error("partition.crashed", exc_info=error)
    first, *traceback = stream.getvalue().splitlines()
    assert "partition.crashed" in first
    assert "ValueError: order-\\x1b[2J\\x9b1m" in "\n".join(traceback)
    assert all(line.startswith("  ") and line.isprintable() for line in traceback)


def test_lines_below_the_level_are_not_written() -> None:
    text = log_lines("json", level="warning")
    assert "partition.claimed" not in text
    assert "Unable to reach" in text


def test_logs_go_to_stderr_because_stdout_is_for_data(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging()
    telemetry.get_logger("sayiir_es.test").info("partition.claimed")
    streams = capsys.readouterr()
    assert streams.out == ""
    assert json.loads(streams.err)["event"] == "partition.claimed"


# --- the source -----------------------------------------------------------------------

LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
EVENT_NAME = re.compile(r"[a-z]+(\.[a-z]+(_[a-z]+)*)+")
IRREGULAR = {"begun", "found", "held", "kept", "left", "lost", "made", "sent", "taken"}
ABOUT_THE_CALL = {"exc_info", "stack_info"}


def log_calls() -> list[tuple[str, ast.Call]]:
    """Return each call of a log method in the package, with its place."""
    calls: list[tuple[str, ast.Call]] = []
    for module in modules("sayiir_es/"):
        for node in ast.walk(module.tree):
            match node:
                case ast.Call(func=ast.Attribute(attr=level, value=receiver)) if (
                    level in LEVELS and _is_a_logger(receiver)
                ):
                    calls.append((f"{module.name}:{node.lineno}", node))
                case _:
                    pass
    return calls


def _is_a_logger(receiver: ast.expr) -> bool:
    if isinstance(receiver, ast.Call):  # logger.bind(…).info(…)
        receiver = receiver.func
    return re.search(r"\b_?log(ger)?\b", ast.unparse(receiver)) is not None


def test_names_of_log_events_are_dotted_literals_in_the_past_tense() -> None:
    calls = log_calls()
    assert calls
    odd = [f"{where}: {ast.unparse(call)}" for where, call in calls if _odd(call)]
    assert not odd, "\n".join(["", *odd])


def _odd(call: ast.Call) -> bool:
    match call.args:
        case [ast.Constant(value=str(name))] if EVENT_NAME.fullmatch(name):
            words = name.rpartition(".")[2].split("_")
            return not any(w.endswith("ed") or w in IRREGULAR for w in words)
        case _:
            return True


def test_no_module_logs_by_the_configuration_of_structlog() -> None:
    """It is the program's, and prints to stdout where the program has set nothing."""
    users = [
        module.name
        for module in modules("sayiir_es/")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        and re.search(r"\bstructlog(?!\.(contextvars|stdlib))", ast.unparse(node))
    ]
    assert set(users) == {"sayiir_es/telemetry.py"}


def test_data_in_logs_has_the_keys_of_telemetry() -> None:
    unknown = [
        f"{where}: {keyword.arg}"
        for where, call in log_calls()
        for keyword in call.keywords
        if keyword.arg not in telemetry.KEYS | ABOUT_THE_CALL
    ]
    assert not unknown, "\n".join(["", *unknown])
