"""`sayiir-es doctor` and `topic` on a log in one file."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, Worker, WorkflowClient
from sayiir_es.log.port import Topic
from sayiir_es.operations.doctor import service
from tests.cli.processes import running
from tests.cli.unreadable_records import START, command, letter, produce

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal


def test_nothing_is_made_where_nothing_is(terminal: Terminal) -> None:
    answer = terminal("doctor -o json")
    assert answer.code == 0
    assert list(terminal.cwd.iterdir()) == []


def test_a_sound_log_passes_every_check(terminal: Terminal) -> None:
    terminal.make_log()
    rows = terminal("doctor -o jsonl").rows()
    assert {row["check"] for row in rows} >= {
        *("log", "topics", "retention", "partitions", "clock", "locks", "schemas"),
        "dead letters",
    }
    assert all(row["ok"] for row in rows)


def test_unread_commands_are_a_warning_with_what_to_do(terminal: Terminal) -> None:
    terminal.make_log()
    produce(terminal.backend, Topic.DEAD_LETTERS, [letter(START)])
    answer = terminal("doctor")
    assert answer.code == 0
    assert "commands that nobody could read: 1" in " ".join(answer.out.split())
    assert "dead-letter list" in answer.out
    terminal("dead-letter drop 0@0")
    assert "dead-letter list" not in terminal("doctor").out


def test_a_file_that_is_no_log_is_found_out(terminal: Terminal) -> None:
    (terminal.cwd / "log.db").write_bytes(b"no database" * 100)
    answer = terminal("doctor")
    assert answer.code == 1
    assert "✗" in answer.out
    listing = terminal("instance list")
    assert listing.code in (1, 5)
    assert "`sayiir-es error " in listing.err


def test_a_database_of_somebody_else_is_found_out(terminal: Terminal) -> None:
    with sqlite3.connect(terminal.cwd / "log.db") as other:
        other.execute("create table theirs (x)")
    assert terminal("doctor").code == 1


def test_a_log_that_does_not_answer_exits_with_five(terminal: Terminal) -> None:
    (terminal.cwd / "log.db").mkdir()
    answer = terminal("instance list")
    assert answer.code == 5, answer.err
    assert "error log_unavailable" in answer.err


def test_a_broker_that_does_not_answer_exits_with_five(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAYIIR_KAFKA_CONNECT_LIMIT", "2s")
    for typed in ("instance list", "topic check", "audit verify"):
        answer = terminal(f"{typed} --backend kafka://127.0.0.1:1/none")
        assert answer.code == 5
        assert "error log_unavailable" in answer.err
        waits = (
            "no broker at '127.0.0.1:1' answers, for 1 s now: one is waited for, 2 s"
        )
        assert answer.err.count(waits) == 1, typed
        assert "SAYIIR_KAFKA_CONNECT_LIMIT" in answer.err


def test_there_are_no_topics_to_make_in_a_file(terminal: Terminal) -> None:
    for verb in ("create", "check"):
        answer = terminal(f"topic {verb} -o json")
        assert (answer.code, answer.out) == (0, "[]\n")
        assert "nothing to do" in answer.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_is_found_out(terminal: Terminal) -> None:
    terminal.cwd.chmod(0o500)
    try:
        assert terminal("doctor").code == 1
    finally:
        terminal.cwd.chmod(0o700)


def test_what_waits_for_code_is_found_by_workflow_and_partition(
    terminal: Terminal,
) -> None:
    url = f"file:{terminal.cwd / 'log.db'}"
    client = WorkflowClient(url)
    first = Flow("orders").wait_for_signal("go").then(str, name="pay").build()
    renamed = Flow("orders").wait_for_signal("go").then(str, name="charge").build()
    with Worker("old", url).start([first]):
        client.submit(first, "i", None)
        assert all(row["ok"] for row in terminal("doctor -o jsonl").rows())
    with Worker("new", url).start([renamed]):
        client.send_signal("i", "go", None)
        while not client.count(status="stranded"):
            time.sleep(0.05)
        answer = terminal("doctor -o jsonl")
        assert terminal("instance list --status stranded -q").out == "i\n"
        assert terminal("instance count --status stranded").out == "1\n"
        assert terminal("instance list --status stranded --state-dir x").code == 2
    assert answer.code == 1
    (finding,) = (row for row in answer.rows() if not row["ok"])
    assert finding["check"] == "code"
    assert "'orders' on partition 0" in str(finding["finding"])


def test_commands_that_wait_for_a_worker_that_was_killed_are_told(
    terminal: Terminal,
) -> None:
    typed = ("worker", "run", "tests.cli.sample_workflows", "--worker-id", "w")
    with running(terminal.cwd / "words", *typed) as worker:
        worker.until("serves")
        worker.end(signal.SIGKILL)  # it leaves its announcement behind
    produce(terminal.backend, Topic.COMMANDS, [command(START)] * 2)
    answer = terminal("doctor -o jsonl")
    assert answer.code == 1
    [finding] = [row for row in answer.rows() if row["check"] == "workers"]
    assert not finding["ok"]
    assert "undecided: 2 commands" in str(finding["finding"])
    assert finding["fix"]


def test_nobody_at_work_is_a_warning_where_nothing_waits(terminal: Terminal) -> None:
    terminal.make_log()
    answer = terminal("doctor")
    assert answer.code == 0
    assert "!" in answer.out
    assert "no worker owns partition 0" in " ".join(answer.out.split())


def test_what_failed_is_told_with_what_to_do_while_a_worker_serves(
    terminal: Terminal,
) -> None:
    url = f"file:{terminal.cwd / 'log.db'}"
    failing = Flow("failing").then(_refuse, name="refuse").build()
    client = WorkflowClient(url)
    with Worker("w", url).start([failing]):
        client.submit(failing, "f", 1)
        client.wait("f")
        answer = terminal("doctor -o jsonl")
    assert answer.code == 0, "what failed is no trouble of the service"
    [finding] = [row for row in answer.rows() if row["check"] == "instances"]
    assert finding["finding"] == "instances that failed: 1"
    assert "instance retry" in str(finding["fix"])
    [workers] = [row for row in answer.rows() if row["check"] == "workers"]
    assert workers["finding"] == "every partition is served; workers: 1"


def test_a_start_queue_that_somebody_closed_is_told(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "CHANGING_HANDS_MS", 0)
    url = f"file:{terminal.cwd / 'log.db'}"
    queued = Flow("queued", max_running=1).then(str).build()
    client = WorkflowClient(url)
    with Worker("w", url).start([queued]):
        client.set_limit("queued", of="runs", max_running=0)
        client.submit(queued, "i", 1)
        while not client.get_limit("queued", of="runs").waiting:
            time.sleep(0.05)
        time.sleep(0.002)  # so that it has waited
        answer = terminal("doctor -o jsonl")
    assert answer.code == 0, "what waits is no trouble of the service"
    [finding] = [row for row in answer.rows() if row["check"] == "start queues"]
    assert "at 'queued' 1 wait" in str(finding["finding"])
    assert "--max-running" in str(finding["fix"])


def _refuse(number: int) -> int:
    raise ValueError(number)
