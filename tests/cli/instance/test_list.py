"""`sayiir-es instance list` and `count`, from a log and from stores on disk."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from sayiir_es import WorkflowClient, run_durable_workflow
from sayiir_es.client.backends import EmbeddedBackend
from tests.cli.sample_workflows import approving, doubling, failing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Terminal


@pytest.fixture
def seeded_terminal(terminal: Terminal) -> Terminal:
    """A log with four instances, two of which have attributes."""
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        run_durable_workflow(doubling, "done", 21, backend=backend)
        run_durable_workflow(failing, "broken", 1, backend=backend)
        run_durable_workflow(approving, "parked", 4, backend=backend)
        client = WorkflowClient(backend)
        client.submit(doubling, "eu", 1, attributes={"customer": "42", "region": "eu"})
    return terminal


def listed(terminal: Terminal, options: str) -> list[object]:
    rows = terminal(f"instance list {options} -o jsonl").rows()
    return [row["instance_id"] for row in rows]


def test_a_start_takes_attributes_to_search_by(seeded_terminal: Terminal) -> None:
    typed = "instance start doubling --id us --input 1"
    started = seeded_terminal(
        f"{typed} --attribute customer=42 --attribute 'note=a=b' -o json"
    )
    assert started.json()["attributes"] == {"customer": "42", "note": "a=b"}
    assert listed(seeded_terminal, "--attribute customer=42") == ["us", "eu"]
    assert listed(seeded_terminal, "--attribute customer=42 --attribute region=eu") == [
        "eu"
    ]
    assert listed(seeded_terminal, "--attribute note=a=b") == ["us"]
    assert listed(seeded_terminal, "--attribute customer=") == []


def test_instances_are_found_by_when_they_were_started_or_changed(
    seeded_terminal: Terminal,
) -> None:
    assert len(listed(seeded_terminal, "--since 10m")) == 4
    assert listed(seeded_terminal, "--until -10m") == []
    assert (
        listed(seeded_terminal, "--since 2030-01-01T00:00:00Z --until 2030-01-02") == []
    )
    assert seeded_terminal("instance pause parked").code == 0
    assert listed(seeded_terminal, "--time updated --limit 1") == ["parked"]
    assert listed(seeded_terminal, "--limit 1") == ["eu"]


def test_a_count_is_a_number(seeded_terminal: Terminal) -> None:
    assert seeded_terminal("instance count").out == "4\n"
    assert seeded_terminal("instance count --status failed").out == "1\n"
    assert seeded_terminal("instance count --attribute customer=42 -o json").json() == {
        "count": 1
    }
    assert seeded_terminal("instance count --workflow nothing").out == "0\n"


def test_a_count_by_status_or_workflow_begins_with_the_most(
    seeded_terminal: Terminal,
) -> None:
    rows = seeded_terminal("instance count --by workflow -o jsonl").rows()
    assert rows[0] == {"workflow": "doubling", "count": 2}
    assert {row["workflow"] for row in rows} == {"doubling", "failing", "approving"}
    by_status = seeded_terminal("instance count --by status -o jsonl").rows()
    assert {(row["status"], row["count"]) for row in by_status} == {
        *(("completed", 1), ("failed", 1), ("awaiting_signal", 1), ("in_progress", 1)),
    }
    assert seeded_terminal("instance count --by status").out.startswith("STATUS")


def test_an_empty_log_counts_nothing(terminal: Terminal) -> None:
    terminal.make_log()
    assert terminal("instance count").out == "0\n"
    assert terminal("instance count --by status -o json").out == "[]\n"


@pytest.mark.parametrize(
    "options",
    [
        "",
        "--status completed",
        "--attribute customer=42",
        "--workflow doubling --time updated",
        "--since 10m --limit 2",
    ],
)
def test_stores_on_disk_answer_as_the_log_does(
    seeded_terminal: Terminal, options: str
) -> None:
    stores = f"--state-dir {seeded_terminal.cwd / 'log.db.state'}"
    assert listed(seeded_terminal, f"{options} {stores}") == listed(
        seeded_terminal, options
    )
    if "--limit" not in options:
        line = f"instance count {options} -o json"
        assert (
            seeded_terminal(f"{line} {stores}").json() == seeded_terminal(line).json()
        )


def damaged_copy(stores: Path, copy: Path) -> None:
    """A copy of a state directory, with bytes of each table overwritten."""
    shutil.copytree(stores, copy)
    tables = list(copy.rglob("*.sst"))
    assert tables
    for table in tables:
        data = bytearray(table.read_bytes())
        data[8:40] = bytes(32)
        table.write_bytes(data)


def unopenable_copy(stores: Path, copy: Path) -> None:
    """A copy of a state directory whose stores cannot be opened."""
    shutil.copytree(stores, copy)
    for marker in copy.rglob("CURRENT"):
        marker.write_bytes(b"nonsense")


@pytest.mark.parametrize("damage", [damaged_copy, unopenable_copy])
def test_a_damaged_store_is_told_and_the_others_are_listed(
    seeded_terminal: Terminal, damage: Callable[[Path, Path], None]
) -> None:
    stores = seeded_terminal.cwd / "log.db.state"
    both = seeded_terminal.cwd / "both"
    damage(stores, both / "a")
    (store,) = {marker.parent for marker in both.rglob("CURRENT")}
    sound = f"--state-dir {stores}"
    whole = seeded_terminal(f"instance list -o jsonl {sound}")
    shutil.copytree(stores, both / "b")
    for line in ("list -o jsonl", "count", "show done -o json"):
        answer = seeded_terminal(f"instance {line} --state-dir {both}")
        if line.startswith("list"):
            assert sorted(map(str, answer.rows())) == sorted(map(str, whole.rows()))
        assert answer.code == 5
        assert str(store) in answer.err
    shutil.rmtree(both / "b")
    alone = seeded_terminal(f"instance list -o jsonl --state-dir {both}")
    assert alone.code == 5
    assert str(store) in alone.err


@pytest.mark.parametrize(
    "typed",
    [
        "list --attribute customer",
        "list --attribute =42",
        "list --attribute a=1 --attribute a=2",
        "list --since soon",
        "count --until 10",
        "count --time never",
        "count --by size",
        "count --status odd",
        "start doubling --attribute x",
    ],
)
def test_what_makes_no_sense_exits_with_two(
    seeded_terminal: Terminal, typed: str
) -> None:
    answer = seeded_terminal(f"instance {typed}")
    assert (answer.code, answer.out) == (2, "")


def test_instances_are_found_by_what_they_wait_for_and_by_what_failed(
    seeded_terminal: Terminal,
) -> None:
    waiting = seeded_terminal("instance count --by waiting-for -o jsonl").rows()
    names = {row["waiting-for"]: row["count"] for row in waiting}
    assert names[""] == 2
    [signal] = [name for name in names if str(name).startswith("signal:")]
    assert listed(seeded_terminal, f"--waiting-for {signal}") == ["parked"]
    assert listed(seeded_terminal, "--waiting-for signal") == ["parked"]
    assert listed(seeded_terminal, "--id-prefix par") == ["parked"]
    assert listed(seeded_terminal, "--id-contains rok") == ["broken"]
    errors = seeded_terminal("instance count --by error --status failed -o jsonl")
    [group] = errors.rows()
    assert listed(seeded_terminal, f"--error-in {group['error_in']}") == ["broken"]
    assert listed(seeded_terminal, f"--error-type {group['error_type']}") == ["broken"]
    versions = seeded_terminal("instance count --by version -o jsonl").rows()
    assert {"workflow": "doubling", "version": None, "count": 2} in versions
    assert listed(seeded_terminal, "--version 2") == []
    refused = seeded_terminal("instance list --waiting-for godot")
    assert refused.code == 2
    assert "expected to wait for one of task, retry, signal" in refused.err
