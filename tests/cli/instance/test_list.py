"""`sayiir-es instance list` and `count`, from a log and from stores on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sayiir_es import WorkflowClient, run_durable_workflow
from sayiir_es.client.backends import EmbeddedBackend
from tests.cli.sample_workflows import approving, doubling, failing

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal


@pytest.fixture
def shop(terminal: Terminal) -> Terminal:
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


def test_a_start_takes_attributes_to_search_by(shop: Terminal) -> None:
    typed = "instance start doubling --id us --input 1"
    started = shop(f"{typed} --attribute customer=42 --attribute 'note=a=b' -o json")
    assert started.json()["attributes"] == {"customer": "42", "note": "a=b"}
    assert listed(shop, "--attribute customer=42") == ["us", "eu"]
    assert listed(shop, "--attribute customer=42 --attribute region=eu") == ["eu"]
    assert listed(shop, "--attribute note=a=b") == ["us"]
    assert listed(shop, "--attribute customer=") == []


def test_instances_are_found_by_when_they_were_started_or_changed(
    shop: Terminal,
) -> None:
    assert len(listed(shop, "--since 10m")) == 4
    assert listed(shop, "--until -10m") == []
    assert listed(shop, "--since 2030-01-01T00:00:00Z --until 2030-01-02") == []
    assert shop("instance pause parked").code == 0
    assert listed(shop, "--time updated --limit 1") == ["parked"]
    assert listed(shop, "--limit 1") == ["eu"]


def test_a_count_is_a_number(shop: Terminal) -> None:
    assert shop("instance count").out == "4\n"
    assert shop("instance count --status failed").out == "1\n"
    assert shop("instance count --attribute customer=42 -o json").json() == {"count": 1}
    assert shop("instance count --workflow nothing").out == "0\n"


def test_a_count_by_status_or_workflow_begins_with_the_most(shop: Terminal) -> None:
    rows = shop("instance count --by workflow -o jsonl").rows()
    assert rows[0] == {"workflow": "doubling", "count": 2}
    assert {row["workflow"] for row in rows} == {"doubling", "failing", "approving"}
    by_status = shop("instance count --by status -o jsonl").rows()
    assert {(row["status"], row["count"]) for row in by_status} == {
        *(("completed", 1), ("failed", 1), ("awaiting_signal", 1), ("in_progress", 1)),
    }
    assert shop("instance count --by status").out.startswith("STATUS")


def test_an_empty_log_counts_nothing(terminal: Terminal) -> None:
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
def test_stores_on_disk_answer_as_the_log_does(shop: Terminal, options: str) -> None:
    stores = f"--state-dir {shop.cwd / 'log.db.state'}"
    assert listed(shop, f"{options} {stores}") == listed(shop, options)
    if "--limit" not in options:
        asked = f"instance count {options} -o json"
        assert shop(f"{asked} {stores}").json() == shop(asked).json()


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
def test_what_makes_no_sense_exits_with_two(shop: Terminal, typed: str) -> None:
    answer = shop(f"instance {typed}")
    assert (answer.code, answer.out) == (2, "")
