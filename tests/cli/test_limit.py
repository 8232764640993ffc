"""`sayiir-es limit`: what is set is shown and listed, until it is unset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sayiir_es import EmbeddedBackend, run_durable_workflow
from tests.cli.sample_workflows import doubling

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal


@pytest.fixture
def log(terminal: Terminal) -> Terminal:
    """A terminal whose log has an instance."""
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        run_durable_workflow(doubling, "i", 1, backend=backend)
    return terminal


def test_a_limit_is_set_shown_listed_and_unset(log: Terminal) -> None:
    assert log("limit list -o jsonl").rows() == []
    typed = "limit set tenant:42 --max-concurrency 5 --rate 10/s --by ana -o json"
    limit = log(typed, "--reason", "their API is slow").json()
    assert (limit["key"], limit["set_max_concurrency"], limit["rate"]) == (
        "tenant:42",
        5,
        "10/s",
    )
    assert (limit["set_by"], limit["reason"]) == ("ana", "their API is slow")
    assert log("limit show tenant:42 -o json").json() == limit
    assert log("limit list -o jsonl").rows() == [limit]
    table = log("limit list").out
    assert "tenant:42" in table
    assert "10/s" in table
    assert "10/s" in log("limit show tenant:42").out
    assert log("limit unset tenant:42 -o json").json()["is_set"] is False
    assert log("limit list -o jsonl").rows() == []


def test_a_start_queue_is_set_shown_listed_and_unset(log: Terminal) -> None:
    log("limit set orders --max-concurrency 2 -o json")
    typed = "limit set orders --of runs --max-running 5 --queue-length 9 --by ana"
    queue = log(typed, "-o", "json", "--reason", "a long night").json()
    assert (queue["of"], queue["key"], queue["workflow"]) == (
        "runs",
        "orders",
        "orders",
    )
    assert (queue["max_running"], queue["queue_length"]) == (5, 9)
    assert (queue["set_by"], queue["reason"]) == ("ana", "a long night")
    assert log("limit show orders --of runs -o json").json() == queue
    attempts = log("limit show orders -o json").json()
    assert (attempts["of"], attempts["set_max_concurrency"]) == ("attempts", 2)
    assert log("limit list -o jsonl").rows() == [attempts, queue]
    assert log("limit list --of runs -o jsonl").rows() == [queue]
    assert log("limit list --of attempts -o jsonl").rows() == [attempts]
    table = log("limit list").out
    assert "0 of 9" in table
    unset = log("limit unset orders --of runs -o json").json()
    assert (unset["is_set"], unset["max_running"]) == (False, None)
    assert log("limit list -o jsonl").rows() == [attempts]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("limit set k --of runs", "expected --max-running or --queue-length, but ne"),
        ("limit set k --of runs --rate 1/s", "max_concurrency and rate of a limit of"),
        ("limit set k --max-running 1", "max_running and queue_length of a limit of r"),
        ("limit set k --of runs --max-running -1", "between 0 and 100000, but -1"),
        ("limit set k", "expected --max-concurrency or --rate, but neither"),
        ("limit set k --rate often", "expected a rate such as"),
        ("limit set k --max-concurrency 200000", "between 0 and 100000, but 200000"),
        ("limit list --limit 0", "expected --limit of 1 or more, but 0"),
    ],
)
def test_what_is_no_limit_is_refused(log: Terminal, typed: str, message: str) -> None:
    answer = log(typed)
    assert answer.code == 2
    assert message in " ".join(answer.err.split())
