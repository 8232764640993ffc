"""`instance fork`: a new instance from any event of an old one, on one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sayiir_es import resume_workflow, run_durable_workflow
from sayiir_es.client.backends import EmbeddedBackend
from tests.cli.sample_workflows import approving, doubling, failing

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal


@pytest.fixture
def seeded_terminal(terminal: Terminal) -> Terminal:
    """A log with an instance that is done, one that failed, and one that waits."""
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        run_durable_workflow(doubling, "done", 21, backend=backend)
        run_durable_workflow(failing, "broken", 1, backend=backend)
        run_durable_workflow(approving, "parked", 4, backend=backend)
    return terminal


def test_a_fork_waits_where_its_source_waited(seeded_terminal: Terminal) -> None:
    result = seeded_terminal("instance fork parked --at 4 --new-id again")
    assert (result.code, result.out) == (0, "WorkflowForked sequence=1\n"), result.err
    fields = seeded_terminal("instance show again -o json").json()
    source = seeded_terminal("instance show parked -o json").json()
    for field in ("workflow", "definition_hash", "run", "status", "waiting_for"):
        assert fields[field] == source[field]
    copied = [
        row["kind"] for row in seeded_terminal("instance history again -o jsonl").rows()
    ]
    told_of = [
        row["kind"]
        for row in seeded_terminal("instance history parked -o jsonl").rows()
    ]
    assert copied == ["WorkflowForked", *told_of[:4]]
    assert seeded_terminal("audit verify").code == 0
    assert seeded_terminal("audit replay again tests.cli.sample_workflows").code == 0
    assert seeded_terminal("instance diff again 1 5").code == 0
    assert seeded_terminal("instance state again --at 2 -o json").code == 0


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_fork_of_what_is_done_runs_on_from_there(
    seeded_terminal: Terminal, at: int
) -> None:
    answer = seeded_terminal(
        f"instance fork done --at {at} --new-id again -o json"
    ).json()
    assert answer["kind"] == "WorkflowForked"
    assert answer["source_instance_id"] == "done"
    assert (answer["source_run"], answer["source_sequence"]) == (1, at)
    with EmbeddedBackend(seeded_terminal.cwd / "log.db") as backend:
        output = resume_workflow(doubling, "again", backend=backend)
    assert (output.status, output.output) == ("completed", 42)
    assert seeded_terminal("audit verify").code == 0


@pytest.mark.parametrize(
    ("typed", "code", "message"),
    [
        ("nobody --at 1 --new-id x", 3, "sequence 1, but there is none"),
        ("done --at 99 --new-id x", 3, "sequence 99, but the last has"),
        ("done --at 1 --new-id parked", 4, "already_exists"),
        ("done --at 0 --new-id x", 2, "usage"),
        ("done --at 1", 2, "usage"),
        ("done --new-id x", 2, "usage"),
    ],
)
def test_what_cannot_be_forked_is_an_error(
    seeded_terminal: Terminal, typed: str, code: int, message: str
) -> None:
    answer = seeded_terminal(f"instance fork {typed}")
    assert answer.code == code
    assert message in answer.err
    assert answer.out == ""
