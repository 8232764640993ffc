"""`sayiir-es dead-letter`: what nobody could read is listed, retried or dropped."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from sayiir_es import run_durable_workflow
from sayiir_es.client.backends import EmbeddedBackend
from sayiir_es.log.port import NewRecord, Topic
from tests.cli.sample_workflows import doubling
from tests.cli.unreadable_records import START, command, letter, produce

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal

BAD = b'{"command":"Star\x1b[2J'


@pytest.fixture
def seeded_terminal(terminal: Terminal) -> Terminal:
    """A log that knows a workflow; `done` has completed."""
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        run_durable_workflow(doubling, "done", 21, backend=backend)
    return terminal


@pytest.fixture
def unread(seeded_terminal: Terminal) -> Terminal:
    """The same, with two commands that its owner could not read."""
    produce(
        seeded_terminal.backend,
        Topic.COMMANDS,
        [command(BAD, source=b"seeded_terminal"), command(None, key=None)],
    )
    seeded_terminal("instance pause done")  # this process owns the log, and decides all
    return seeded_terminal


def places(terminal: Terminal, options: str = "") -> list[object]:
    """Where the listed letters stand."""
    rows = terminal(f"dead-letter list {options} -o jsonl").rows()
    return [row["dead_letter"] for row in rows]


def test_a_log_without_dead_letters_is_no_error(terminal: Terminal) -> None:
    terminal.make_log()
    assert terminal("dead-letter list -o json").out == "[]\n"
    assert terminal("dead-letter list").code == 0


def test_what_nobody_could_read_is_listed_with_the_reason(unread: Terminal) -> None:
    rows = unread("dead-letter list -o jsonl").rows()
    assert [row["dead_letter"] for row in rows] == ["0@1", "0@0"]
    rows.reverse()
    assert str(rows[0]["reason"]).startswith("bad_json: expected JSON")
    assert (rows[0]["key"], rows[0]["size"]) == ("a", len(BAD))
    assert (rows[1]["key"], rows[1]["size"]) == (None, None)
    result = unread(
        "event tail --from-start --kind CommandDeadLettered -o jsonl"
    ).rows()
    assert [one["dead_letter"] for one in result] == ["0@0", "0@1"]
    assert [one["cause"] for one in result] == [f"command:{r['command']}" for r in rows]


def test_the_last_written_are_listed_first_and_no_more_than_asked_for(
    unread: Terminal,
) -> None:
    produce(unread.backend, Topic.COMMANDS, [command(b"[]")])
    unread("instance pause done")
    assert places(unread, "--limit 1") == ["0@2"]


def test_a_table_moves_no_cursor(unread: Terminal) -> None:
    for typed in ("list", "list --all", "show 0@0"):
        text = unread(f"dead-letter {typed}").out
        assert text
        assert "\x1b" not in text


def test_show_has_every_byte(unread: Terminal) -> None:
    fields = unread("dead-letter show 0@0 -o json").json()
    assert base64.b64decode(str(fields["value_base64"])) == BAD
    assert fields["value"] == BAD.decode()
    assert fields["headers"] == [["source", "seeded_terminal"]]
    assert unread("dead-letter show 0@1 -o json").json()["value"] is None
    assert "Star" in unread("dead-letter show 0@0").out


def test_a_table_shows_the_beginning_of_a_large_one(seeded_terminal: Terminal) -> None:
    produce(seeded_terminal.backend, Topic.DEAD_LETTERS, [letter(b"x" * 5_000)])
    result = seeded_terminal("dead-letter show 0@0")
    assert result.out.count("x") < 2_100
    assert "the first 2000 of 5000 bytes" in result.err


def test_a_letter_that_can_be_read_now_starts_its_instance(
    seeded_terminal: Terminal,
) -> None:
    produce(seeded_terminal.backend, Topic.DEAD_LETTERS, [letter(START, key=b"late")])
    fields = seeded_terminal("dead-letter retry 0@0 -o json").json()
    assert fields["answer"] == "WorkflowStarted"
    assert fields["instance_id"] == "late"
    assert (
        seeded_terminal("instance show late -o json").json()["status"] == "in_progress"
    )
    assert places(seeded_terminal) == []
    [rows] = seeded_terminal("dead-letter list --all -o jsonl").rows()
    assert (rows["state"], rows["mark_detail"]) == ("retried", fields["command"])


def test_the_answer_to_a_fork_comes_behind_its_deferral(
    seeded_terminal: Terminal,
) -> None:
    fork = b'{"command":"ForkWorkflow","source_instance_id":"done","source_sequence":1}'
    produce(seeded_terminal.backend, Topic.DEAD_LETTERS, [letter(fork, key=b"copy")])
    fields = seeded_terminal("dead-letter retry 0@0 -o json").json()
    assert (fields["answer"], fields["instance_id"]) == ("WorkflowForked", "copy")
    [deferred] = seeded_terminal(
        "event tail --from-start --kind CommandDeferred -o jsonl"
    ).rows()
    assert deferred["cause"] == f"command:{fields['command']}"


def test_a_retried_command_is_a_new_one_wherever_it_first_stood(
    seeded_terminal: Terminal,
) -> None:
    # The owner would take the origin of an earlier one for a command it has answered.
    produce(
        seeded_terminal.backend,
        Topic.DEAD_LETTERS,
        [letter(START, key=b"late", **{"origin": b"0@0", "schema-id": b"7"})],
    )
    assert (
        seeded_terminal("dead-letter retry 0@0 -o json").json()["answer"]
        == "WorkflowStarted"
    )


def test_what_is_still_unreadable_becomes_another_dead_letter(
    unread: Terminal,
) -> None:
    result = unread("dead-letter retry 0@0 -o json")
    assert result.code == 4
    assert result.json()["answer"] == "CommandDeadLettered"
    assert "now 0@3" in str(result.json()["detail"])  # behind the mark
    assert places(unread) == ["0@3", "0@1"]
    again = unread("dead-letter show 0@3 -o json").json()
    assert again["headers"] == [["source", "seeded_terminal"]]


def test_a_command_that_is_refused_when_it_is_read_exits_with_four(
    seeded_terminal: Terminal,
) -> None:
    produce(seeded_terminal.backend, Topic.DEAD_LETTERS, [letter(START, key=b"done")])
    result = seeded_terminal("dead-letter retry 0@0 -o json")
    assert result.code == 4
    assert "already_exists" in str(result.json()["detail"])


def test_what_was_dropped_is_off_the_list_and_stays_on_the_log(
    unread: Terminal,
) -> None:
    dropped = unread("dead-letter drop 0@0 --reason mistyped -o json")
    assert dropped.code == 0
    assert dropped.json()["state"] == "dropped"
    assert places(unread) == ["0@1"]
    assert set(places(unread, "--all")) == {"0@0", "0@1"}
    fields = unread("dead-letter show 0@0 -o json").json()
    assert (fields["mark_detail"], fields["value"]) == ("mistyped", BAD.decode())
    assert (
        len(
            unread("event tail --from-start --kind CommandDeadLettered -o jsonl").rows()
        )
        == 2
    )


@pytest.mark.parametrize("first", ["drop", "retry"])
@pytest.mark.parametrize("second", ["drop", "retry"])
def test_a_letter_is_dealt_with_once(
    seeded_terminal: Terminal, first: str, second: str
) -> None:
    produce(seeded_terminal.backend, Topic.DEAD_LETTERS, [letter(START, key=b"late")])
    assert seeded_terminal(f"dead-letter {first} 0@0").code == 0
    again = seeded_terminal(f"dead-letter {second} 0@0")
    assert again.code == 4
    assert "already_" in again.err


def test_a_letter_that_an_owner_wrote_twice_is_one(seeded_terminal: Terminal) -> None:
    produce(
        seeded_terminal.backend,
        Topic.DEAD_LETTERS,
        [letter(START, key=b"late"), letter(START, key=b"late")],
    )
    assert places(seeded_terminal) == ["0@1"]
    assert seeded_terminal("dead-letter drop 0@0").code == 0
    assert places(seeded_terminal) == []


def test_a_letter_that_was_cut_is_not_written_again(seeded_terminal: Terminal) -> None:
    cut = letter(START, key=b"late", **{"cut-from-bytes": b"1000"})
    produce(seeded_terminal.backend, Topic.DEAD_LETTERS, [cut])
    [row] = seeded_terminal("dead-letter list -o jsonl").rows()
    assert (row["size"], row["kept_bytes"]) == (1000, len(START))
    refused = seeded_terminal("dead-letter retry 0@0")
    assert refused.code == 4
    assert "too_large" in refused.err
    assert places(seeded_terminal) == ["0@0"]


def test_headers_of_a_command_are_taken_for_no_mark_and_no_cut(
    seeded_terminal: Terminal,
) -> None:
    headers = {"cut-from-bytes": b"1", "mark": b"dropped", "position": b"0@1"}
    produce(seeded_terminal.backend, Topic.COMMANDS, [command(b"{", **headers)])
    seeded_terminal("instance pause done")
    [row] = seeded_terminal("dead-letter list -o jsonl").rows()
    assert (row["state"], row["kept_bytes"]) == ("listed", None)
    assert row["headers"] == [[name, text.decode()] for name, text in headers.items()]


def test_records_that_are_no_letters_are_passed_over(seeded_terminal: Terminal) -> None:
    strange = [
        NewRecord(key=None, value=b"x"),
        NewRecord(key=b"0@7", value=None, headers=(("mark", b"dropped"),)),
        NewRecord(
            key=b"x",
            value=b"",
            headers=(("reason", b""), ("position", b"x"), ("record-key", b"")),
        ),
    ]
    produce(seeded_terminal.backend, Topic.DEAD_LETTERS, strange)
    assert places(seeded_terminal, "--all") == []


@pytest.mark.parametrize("verb", ["show", "retry", "drop"])
@pytest.mark.parametrize(
    ("place", "code"), [("0@99", 3), ("9@0", 3), ("0", 2), ("a@b", 2), ("@", 2)]
)
def test_a_place_without_a_letter_exits_with_two_or_three(
    unread: Terminal, verb: str, place: str, code: int
) -> None:
    answer = unread(f"dead-letter {verb} {place}")
    assert (answer.code, answer.out) == (code, "")
