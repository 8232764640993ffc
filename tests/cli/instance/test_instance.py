"""Verbs of `sayiir-es instance`, on one file; this process owns it for the call."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from sayiir_es import run_durable_workflow
from sayiir_es.client.backends import EmbeddedBackend
from tests.cli.sample_workflows import approving, doubling, failing

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal

FIELDS = {
    *("instance_id", "workflow", "definition_hash", "run", "sequence", "status"),
    *("waiting_for", "output", "error", "started_at", "updated_at", "attempts"),
}


@pytest.fixture
def seeded_terminal(terminal: Terminal) -> Terminal:
    """A log that knows three workflows, with an instance of each."""
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        run_durable_workflow(doubling, "done", 21, backend=backend)
        run_durable_workflow(failing, "broken", 1, backend=backend)
        run_durable_workflow(approving, "parked", 4, backend=backend)
    return terminal


def test_start_prints_the_new_instance(seeded_terminal: Terminal) -> None:
    started = seeded_terminal("instance start doubling --id a --input 5 -o json")
    assert started.code == 0
    assert started.json()["status"] == "in_progress"
    assert started.json()["instance_id"] == "a"
    assert set(started.json()) >= FIELDS


def test_a_start_may_wait_for_a_quiet_time(seeded_terminal: Terminal) -> None:
    line = "instance start doubling --id a --input 5 --debounce 5s --debounce-key k"
    waiting = seeded_terminal(f"{line} --debounce-max 1m -o json")
    assert waiting.code == 0
    assert waiting.json() == {
        "instance_id": "a",
        "workflow": "doubling",
        "status": "submitted",
        "waiting_for": "5000 ms without another start under '$debounce/doubling/k', "
        "which would take its place",
    }
    assert seeded_terminal("instance show a").code == 3
    for wrong in (f"{line} --wait", "instance start doubling --debounce-key k"):
        assert seeded_terminal(wrong).code == 2


def test_start_without_an_id_makes_one_up(seeded_terminal: Terminal) -> None:
    started = seeded_terminal("instance start doubling --input 5 -o json").json()
    assert str(started["instance_id"]).startswith("doubling-")
    assert seeded_terminal(f"instance show {started['instance_id']}").code == 0


def test_input_comes_from_a_file_too(seeded_terminal: Terminal) -> None:
    (seeded_terminal.cwd / "in.json").write_text("7")
    assert seeded_terminal("instance start doubling --id a --input @in.json").code == 0
    assert (
        seeded_terminal("instance start doubling --id b --input @none.json").code == 2
    )


def test_a_second_start_of_the_same_id_is_rejected(seeded_terminal: Terminal) -> None:
    again = seeded_terminal("instance start doubling --id done --input 1")
    assert again.code == 4
    assert "already_exists" in again.err
    assert "sayiir-es error already_exists" in again.err
    assert again.out == ""


def test_use_existing_gives_the_instance_that_is_there(
    seeded_terminal: Terminal,
) -> None:
    result = seeded_terminal(
        "instance start doubling --id done --input 1 "
        "--conflict-policy use_existing -o json"
    )
    assert result.code == 0
    assert result.json()["output"] == 42


def test_waiting_for_what_has_completed_returns_its_output(
    seeded_terminal: Terminal,
) -> None:
    result = seeded_terminal(
        "instance start doubling --id done --conflict-policy use_existing --wait "
        "-o json"
    )
    assert (result.code, result.json()["output"]) == (0, 42)


def test_waiting_for_what_has_failed_exits_with_one(seeded_terminal: Terminal) -> None:
    result = seeded_terminal(
        "instance start failing --id broken --conflict-policy use_existing --wait"
    )
    assert result.code == 1
    assert "error_details" not in result.out
    assert "Traceback (most recent call last)" in result.out


def test_an_unknown_workflow_is_rejected(seeded_terminal: Terminal) -> None:
    unknown = seeded_terminal("instance start nothing --id a")
    assert unknown.code == 4
    assert "unknown_workflow" in unknown.err


@pytest.mark.parametrize(
    "typed",
    [
        "instance start doubling --input {",
        "instance start doubling --input NaN",
        "instance start doubling --conflict-policy maybe",
        "instance start doubling --id ''",
        f"instance start doubling --id {'x' * 257}",
        "instance start",
        "instance show done -o xml",
        "instance list --status odd",
        "instance list --limit 0",
        "instance nothing",
        "instance show done --backend nothing:",
    ],
)
def test_what_makes_no_sense_exits_with_two(
    seeded_terminal: Terminal, typed: str
) -> None:
    answer = seeded_terminal(typed)
    assert answer.code == 2
    assert "error usage" in answer.err
    assert answer.out == ""


def test_an_id_that_is_no_text_exits_with_two(seeded_terminal: Terminal) -> None:
    answer = seeded_terminal("instance show", "\udcff")
    assert answer.code == 2
    assert "\udcff" not in answer.err


def test_show_has_every_field(seeded_terminal: Terminal) -> None:
    fields = seeded_terminal("instance show parked -o json").json()
    assert set(fields) >= FIELDS
    assert fields["status"] == "awaiting_signal"
    assert "signal 'go'" in str(fields["waiting_for"])
    failed = seeded_terminal("instance show broken -o json").json()
    assert failed["status"] == "failed"
    assert "ValueError" in f"{failed['error_type']} {failed['error']}"


def test_what_failed_is_retried_as_its_next_run(seeded_terminal: Terminal) -> None:
    result = seeded_terminal("instance retry broken")
    assert (result.code, result.out) == (0, "WorkflowRetried sequence=5\n")
    fields = seeded_terminal("instance show broken -o json").json()
    assert (fields["status"], fields["run"], fields["attempts"]) == (
        "in_progress",
        2,
        {"fail": 1},
    )


def test_what_has_not_failed_is_not_retried(seeded_terminal: Terminal) -> None:
    refused = seeded_terminal("instance retry done")
    assert refused.code == 4
    assert "not_failed" in refused.err
    assert "is completed" in refused.err


@pytest.mark.parametrize(
    "verb",
    [
        "show",
        "result",
        "result --wait",
        "history",
        "cancel",
        "pause",
        "unpause",
        "retry",
    ],
)
def test_an_unknown_instance_exits_with_three(
    seeded_terminal: Terminal, verb: str
) -> None:
    answer = seeded_terminal(f"instance {verb} nobody")
    assert answer.code == 3
    assert "error not_found" in answer.err
    assert answer.out == ""


def test_list_shows_the_last_started_first(seeded_terminal: Terminal) -> None:
    rows = seeded_terminal("instance list -o jsonl").rows()
    assert [row["instance_id"] for row in rows] == ["parked", "broken", "done"]
    assert all(set(row) >= FIELDS for row in rows)
    one = seeded_terminal("instance list --limit 1 -o jsonl").rows()
    assert [row["instance_id"] for row in one] == ["parked"]


def test_list_takes_only_what_is_asked_for(seeded_terminal: Terminal) -> None:
    failed = seeded_terminal("instance list --status failed -o jsonl").rows()
    assert [row["instance_id"] for row in failed] == ["broken"]
    rows = seeded_terminal("instance list --workflow doubling -o jsonl").rows()
    assert [row["instance_id"] for row in rows] == ["done"]


def test_a_table_has_a_line_for_each_row_in_a_pipe(seeded_terminal: Terminal) -> None:
    assert len(seeded_terminal("instance list").out.splitlines()) == 4
    events = seeded_terminal("instance history parked -o jsonl").rows()
    history = seeded_terminal("instance history parked").out.splitlines()
    assert len(history) == len(events) + 1


def test_an_empty_list_is_no_error(terminal: Terminal) -> None:
    terminal.make_log()
    assert terminal("instance list -o json").out == "[]\n"
    assert terminal("instance list -o jsonl").out == ""
    assert terminal("instance list").code == 0


def test_result_is_the_output_and_nothing_else(seeded_terminal: Terminal) -> None:
    assert seeded_terminal("instance result done").out == "42\n"
    assert seeded_terminal("instance result done --wait -o jsonl").out == "42\n"


def test_result_of_a_failed_instance_exits_with_one(seeded_terminal: Terminal) -> None:
    answer = seeded_terminal("instance result broken")
    assert answer.code == 1
    assert "\x1b[2J" not in answer.err
    assert "\\x1b[2J" in answer.err


def test_result_of_a_running_instance_exits_with_three(
    seeded_terminal: Terminal,
) -> None:
    answer = seeded_terminal("instance result parked")
    assert answer.code == 3
    assert "signal 'go'" in answer.err


def test_a_signal_is_buffered_once_for_each_signal_id(
    seeded_terminal: Terminal,
) -> None:
    typed = "instance signal parked other --payload '{\"a\":1}' --signal-id mail-1"
    first = seeded_terminal(f"{typed} -o json").json()
    assert first["kind"] == "SignalReceived"
    assert first["payload"] == {"a": 1}
    second = seeded_terminal(f"{typed} -o json").json()
    assert second["kind"] == "CommandAcknowledged"
    assert second["code"] == "duplicate"


def test_pause_and_unpause_answer_with_their_events(seeded_terminal: Terminal) -> None:
    assert seeded_terminal("instance unpause parked").code == 4
    paused = seeded_terminal("instance pause parked --reason audit -o json").json()
    assert paused["reason"] == "audit"
    fields = seeded_terminal("instance show parked -o json").json()
    assert (fields["status"], fields["reason"]) == ("paused", "audit")
    assert "unchanged" in seeded_terminal("instance pause parked").out
    assert seeded_terminal("instance unpause parked").out.startswith("WorkflowUnpaused")


def test_what_has_ended_can_neither_be_cancelled_nor_signalled(
    seeded_terminal: Terminal,
) -> None:
    assert seeded_terminal("instance cancel parked --reason why").code == 0
    assert (
        seeded_terminal("instance show parked -o json").json()["status"] == "cancelled"
    )
    signalled = seeded_terminal("instance signal parked go")
    assert signalled.code == 4
    assert "terminal" in signalled.err
    assert seeded_terminal("instance cancel done").code == 4


def test_history_has_every_event_in_order(seeded_terminal: Terminal) -> None:
    rows = seeded_terminal("instance history done -o jsonl").rows()
    assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
    assert rows[0]["kind"] == "WorkflowStarted"
    assert rows[-1]["kind"] == "WorkflowCompleted"
    assert rows[-1]["output"] == 42
    table = seeded_terminal("instance history done").out
    assert all(str(row["kind"]) in table for row in rows)


def test_following_a_history_ends_with_the_instance(seeded_terminal: Terminal) -> None:
    for output in ("table", "json", "jsonl"):
        followed = seeded_terminal(f"instance history done --follow -o {output}")
        assert followed.code == 0
        assert "WorkflowCompleted" in followed.out


def test_control_characters_of_an_id_are_shown_escaped(
    seeded_terminal: Terminal,
) -> None:
    evil = "x\x1b[2J\n\u202ey"
    assert seeded_terminal("instance start doubling --input 1 --id", evil).code == 0
    for output in ("table", "json", "jsonl"):
        for typed in ("instance list", "event tail --from-start"):
            answer = seeded_terminal(f"{typed} -o {output}")
            assert answer.code == 0
            assert "\x1b" not in answer.out
            assert "\u202e" not in answer.out
    assert seeded_terminal("instance show -o json", evil).json()["instance_id"] == evil
    again = seeded_terminal("instance start doubling --id", evil)
    assert again.code == 4
    assert "\x1b" not in again.err


def test_show_tells_the_line_and_the_traceback_of_a_failure(
    seeded_terminal: Terminal,
) -> None:
    shown = seeded_terminal("instance show broken")
    assert "sample_workflows.py" in shown.out
    assert "Traceback (most recent call last)" in shown.out
    details = seeded_terminal("instance show broken -o json").json()["error_details"]
    assert isinstance(details, dict)
    assert details["error_class"] == "builtins.ValueError"
    history = seeded_terminal("instance history broken")
    assert "source_line=sample_workflows.py" in history.out
    assert "Traceback" not in history.out


def test_show_has_no_traceback_where_nothing_failed(seeded_terminal: Terminal) -> None:
    shown = seeded_terminal("instance show done")
    assert "Traceback" not in shown.out
    assert "error" not in shown.out


def test_a_retry_says_who_asked_and_takes_another_input(
    seeded_terminal: Terminal,
) -> None:
    retried = seeded_terminal(
        "instance retry broken --input 7 --reason mended --by ana -o json"
    )
    assert retried.code == 0
    history = seeded_terminal("instance history broken -o json")
    assert '"input": 7' in history.out
    assert '"requested_by": "ana"' in history.out
    assert '"reason": "mended"' in history.out


def test_who_asks_is_the_user_of_the_shell(
    seeded_terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "bo")
    assert seeded_terminal("instance pause parked").code == 0
    shown = seeded_terminal("instance show parked -o json").json()
    assert shown["requested_by"] == "bo"


TYPED = (
    '{"b": 9999999999999999.01, "a": 0.1e-400, "c": -0,\n "d": 12345678901234567890}'
)


def test_json_that_is_typed_is_kept_as_its_text(seeded_terminal: Terminal) -> None:
    (seeded_terminal.cwd / "in.json").write_text(f" {TYPED}\n")
    for line in (
        "instance start doubling --id typed --input @in.json",
        "instance signal parked other --payload @in.json",
        "instance retry broken --input @in.json",
    ):
        assert seeded_terminal(line).code == 0
    path = next(seeded_terminal.cwd.glob("**/*.db"))
    log = sqlite3.connect(path)
    values = [row[0] for table in tables(log) for row in values_of(log, table)]
    log.close()
    kept = sum(value.count(TYPED.encode()) for value in values)
    assert kept >= 6, "in three commands and in three events"
    for line in ("history typed -o json", "history typed -o jsonl"):
        shown = seeded_terminal(f"instance {line}").out
        for number in ("9999999999999999.01", "0.1e-400", "-0", "12345678901234567890"):
            assert number in shown


def tables(log: sqlite3.Connection) -> list[str]:
    rows = log.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return [str(name) for (name,) in rows]


def values_of(log: sqlite3.Connection, table: str) -> list[tuple[bytes]]:
    columns = log.execute(f"SELECT * FROM {table}")  # noqa: S608 (of its own names)
    return [(item,) for row in columns for item in row if isinstance(item, bytes)]


def test_json_with_a_key_twice_is_refused(seeded_terminal: Terminal) -> None:
    typed = """instance start doubling --id twice --input '{"a":1,"a":2}'"""
    refused = seeded_terminal(typed)
    assert refused.code == 2
    assert "expected each key once" in refused.err
