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


@pytest.mark.parametrize(
    ("typed", "message"),
    [
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
