"""Verbs for many instances by criteria, and ids that are printed in one piece."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, WorkflowClient, run_durable_workflow
from sayiir_es.client.backends import EmbeddedBackend
from tests.cli.sample_workflows import approving, doubling, failing

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal

LONG = "order/" + "x" * 150


@pytest.fixture
def seeded_terminal(terminal: Terminal) -> Terminal:
    """A log with one that is done, two that failed and two that wait."""
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        run_durable_workflow(doubling, "done", 21, backend=backend)
        for name in ("broken-1", "broken-2"):
            run_durable_workflow(failing, name, 1, backend=backend)
        client = WorkflowClient(backend)
        for name in ("parked", LONG):
            client.submit(approving, name, 4, attributes={"customer": "42"})
    return terminal


def listed(terminal: Terminal, options: str) -> list[str]:
    return terminal(f"instance list -q {options}").out.splitlines()


def in_a_terminal(
    terminal: Terminal, typed: str, answer: str, columns: int
) -> tuple[int, str]:
    """Run a command where stdin and stdout are a terminal of that width."""
    outside, inside = pty.openpty()
    termios.tcsetwinsize(inside, (50, columns))
    process = subprocess.Popen(  # noqa: S603 - ours
        [sys.executable, "-m", "sayiir_es.cli", *typed.split()],
        cwd=terminal.cwd,
        env={name: os.environ[name] for name in os.environ if name != "COLUMNS"},
        stdin=inside,
        stdout=inside,
        stderr=inside,
    )
    os.close(inside)
    os.write(outside, answer.encode())
    shown = b""
    while True:
        try:
            data = os.read(outside, 65536)
        except OSError:  # the end, on Linux
            break
        if not data:
            break
        shown += data
    os.close(outside)
    return process.wait(30), shown.decode()


def test_what_failed_is_retried_by_criteria(seeded_terminal: Terminal) -> None:
    result = seeded_terminal(
        "instance retry --status failed --workflow failing --since 2h "
        "--error-type ValueError --yes"
    )
    assert (result.code, result.out) == (0, "")
    assert "2 done, 0 failed" in result.err
    assert set(listed(seeded_terminal, "--status in_progress")) >= {
        "broken-1",
        "broken-2",
    }
    again = seeded_terminal("instance retry --status failed --yes -o json")
    assert (again.code, again.json()) == (0, {"done": 0, "failed": []})


def test_other_verbs_by_criteria(seeded_terminal: Terminal) -> None:
    by = "--attribute customer=42 --yes -o json"
    for verb, status in (
        ("pause --reason audit", "paused"),
        ("unpause", "in_progress"),
        ("signal go --payload 1", "in_progress"),
        ("cancel --reason enough", "cancelled"),
    ):
        result = seeded_terminal(f"instance {verb} {by}")
        assert (result.code, result.json()["done"]) == (0, 2), verb
        assert set(listed(seeded_terminal, f"--status {status}")) == {"parked", LONG}


def test_what_was_refused_is_printed_with_its_error(seeded_terminal: Terminal) -> None:
    refused = seeded_terminal("instance cancel --status failed --yes")
    assert refused.code == 4
    assert "0 done, 2 failed" in refused.err
    head, *rows = refused.out.splitlines()
    assert head.split() == ["INSTANCE", "ID", "CODE", "ERROR"]
    assert [row.split()[:2] for row in rows] == [
        ["broken-1", "terminal"],
        ["broken-2", "terminal"],
    ]
    machine = seeded_terminal("instance cancel --status failed --yes -o jsonl")
    assert machine.code == 4
    assert machine.json()["done"] == 0
    assert len(machine.out.splitlines()) == 1


def test_a_dry_run_prints_ids_and_sends_nothing(seeded_terminal: Terminal) -> None:
    dry = seeded_terminal("instance retry --since 2h --dry-run")
    assert (dry.code, dry.out) == (0, "broken-1\nbroken-2\n")
    rows = seeded_terminal("instance cancel --all --dry-run -o jsonl").rows()
    assert [row["instance_id"] for row in rows] == ["parked", LONG]
    assert listed(seeded_terminal, "--status failed") == ["broken-2", "broken-1"]


@pytest.mark.parametrize("verb", ["retry", "cancel", "pause", "unpause", "signal go"])
def test_without_a_terminal_nobody_is_asked(
    seeded_terminal: Terminal, verb: str
) -> None:
    refused = seeded_terminal(f"instance {verb} --all")
    assert (refused.code, refused.out) == (2, "")
    assert "--yes" in refused.err
    assert "terminal" in refused.err
    assert listed(seeded_terminal, "--status failed") == ["broken-2", "broken-1"]


@pytest.mark.parametrize(
    "typed",
    [
        "retry",
        "retry --yes",
        "retry --time updated --yes",
        "retry broken-1 --status failed --yes",
        "retry broken-1 --dry-run",
        "signal go",
        "signal --all --yes",
        "signal parked go --workflow approving --yes",
        "cancel --since soon --yes",
        "cancel --status odd --yes",
        "list -q -o json",
        "start doubling --timeout 1s",
        "start doubling --wait --timeout soon",
        "result parked --timeout 1s",
        "result parked --wait --timeout soon",
    ],
)
def test_what_makes_no_sense_exits_with_two(
    seeded_terminal: Terminal, typed: str
) -> None:
    answer = seeded_terminal(f"instance {typed}")
    assert (answer.code, answer.out) == (2, "")


def test_a_person_is_asked_with_the_number(seeded_terminal: Terminal) -> None:
    typed = "instance retry --status failed"
    code, shown = in_a_terminal(seeded_terminal, typed, "n\n", 80)
    assert code == 130
    assert "retry 2 instances? [y/N]" in shown
    assert listed(seeded_terminal, "--status failed") == ["broken-2", "broken-1"]
    code, shown = in_a_terminal(seeded_terminal, typed, "y\n", 80)
    assert code == 0
    assert "2 done, 0 failed" in shown
    assert listed(seeded_terminal, "--status failed") == []


def test_an_id_is_in_one_piece_in_a_narrow_terminal(seeded_terminal: Terminal) -> None:
    for typed in ("list", f"show {LONG}", "cancel --status awaiting_signal --yes"):
        code, shown = in_a_terminal(seeded_terminal, f"instance {typed}", "", 60)
        assert code == 0
        if "cancel" not in typed:
            assert LONG in shown, shown


def test_nothing_is_wrapped_in_a_pipe(seeded_terminal: Terminal) -> None:
    lines = seeded_terminal("instance list").out.splitlines()
    assert len(lines) == 6
    assert any(line.startswith(f"{LONG}  approving  ") for line in lines)
    shown = seeded_terminal(f"instance show {LONG}").out.splitlines()
    assert shown[0].split() == ["instance_id", LONG]


def test_a_quiet_list_has_ids_only_and_says_where_it_ends(
    seeded_terminal: Terminal,
) -> None:
    assert listed(seeded_terminal, "")[:2] == [LONG, "parked"]
    short = seeded_terminal("instance list -q --limit 2")
    assert short.out == f"{LONG}\nparked\n"
    assert "the last 2; for more: --limit" in short.err
    assert "--limit" not in seeded_terminal("instance list -q --limit 5").err


def test_a_wait_with_a_timeout_ends(seeded_terminal: Terminal) -> None:
    late = seeded_terminal(
        "instance start approving --id late --input 1 --wait --timeout 100ms -o json"
    )
    assert late.code == 5
    assert late.json()["instance_id"] == "late"
    assert "to end within 100ms" in late.err
    still = seeded_terminal("instance result late --wait --timeout 100ms")
    assert (still.code, still.out) == (5, "")
    assert "expected late to end within 100ms" in still.err
    done = seeded_terminal(
        "instance start doubling --id done --conflict-policy use_existing --wait "
        "--timeout 30s -o json"
    )
    assert (done.code, done.json()["output"]) == (0, 42)


def test_instances_migrate_by_id_and_by_criteria(terminal: Terminal) -> None:
    url = f"file:{terminal.cwd / 'log.db'}"
    old = Flow("orders").wait_for_signal("go").then(str, name="pay").build()
    new = Flow("orders", version="2").wait_for_signal("stop", name="go").build()
    longer = Flow("orders").wait_for_signal("go").then(str, name="charge").build()
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        for name in ("a", "b", "c"):
            run_durable_workflow(old, name, 1, backend=backend)
        session = backend.session
        for workflow in (longer, new):
            backend.thread.call(session.publish_graph(workflow))
    to = longer.definition_hash[:10]
    one = terminal(f"instance migrate a --to {to} --reason deploy --by ana -o json")
    assert one.code == 0, one.err
    event = one.json()
    assert (event["kind"], event["requested_by"]) == ("WorkflowMigrated", "ana")
    assert event["graph_digest"] == longer.graph.digest
    refused = terminal("instance migrate b --to latest")
    assert refused.code == 4
    assert "expected a wait for the signal 'go'" in refused.err
    assert terminal("instance migrate --all --to latest").code == 2
    assert terminal(f"instance migrate b --to {to} --map pay").code == 2
    dry = terminal(f"instance migrate --workflow orders --to {to} --dry-run")
    assert sorted(dry.out.split()) == ["a", "b", "c"]
    many = terminal(f"instance migrate --workflow orders --to {to} --yes -o json")
    assert (many.code, many.json()["done"]) == (0, 3)
    shown = terminal(f"instance show c -o json --backend {url}").json()
    assert shown["definition_hash"] == longer.definition_hash
    assert terminal("audit verify").code == 0
