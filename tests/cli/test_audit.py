"""`sayiir-es audit verify`: 0 where all holds, else 1 and where it does not."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, run_durable_workflow
from sayiir_es.client.backends import EmbeddedBackend
from sayiir_es.core.model.events import WorkflowCompleted
from sayiir_es.wire.events import decode_event, encode_event
from tests.cli.sample_workflows import approving, doubling
from tests.log.embedded.tampering import replace_value

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Terminal


@pytest.fixture
def seeded_terminal(terminal: Terminal) -> Terminal:
    """A log with an instance that ended and one that waits."""
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        run_durable_workflow(doubling, "a", 1, backend=backend)
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:  # another claim
        run_durable_workflow(approving, "b", 2, backend=backend)
    return terminal


def change_output(log: Path) -> int:
    """Let the output of instance `a` be another number; returns where it stands."""
    with closing(sqlite3.connect(log)) as file:
        rows: list[tuple[int, bytes]] = file.execute(
            "select offset, value from records where topic = 'events' and key = ?",
            (b"a",),
        ).fetchall()
    for offset, value in rows:
        event = decode_event(value)
        if isinstance(event.body, WorkflowCompleted):
            lie = replace(event, body=WorkflowCompleted(output=b"3"))
            replace_value(log, offset, encode_event(lie))
            return offset
    raise AssertionError(f"expected a WorkflowCompleted, but {len(rows)} other events")


def test_a_log_that_breaks_nothing_verifies(seeded_terminal: Terminal) -> None:
    result = seeded_terminal("audit verify")
    assert result.code == 0, result
    assert result.out == ""
    assert "every invariant holds" in result.err
    assert json.loads(seeded_terminal("audit verify -o json").out) == []
    assert seeded_terminal("audit verify --instance b").code == 0
    assert (
        seeded_terminal("audit verify --state-dir", str(seeded_terminal.cwd)).code == 0
    )


def test_a_changed_event_is_named_with_its_place(seeded_terminal: Terminal) -> None:
    offset = change_output(seeded_terminal.cwd / "log.db")
    result = seeded_terminal("audit verify -o jsonl")
    assert result.code == 1, result
    violations = result.rows()
    assert violations[0] == {
        "invariant": "I19",
        "partition": 0,
        "offset": offset,
        "instance": "a",
        "expected": "the output to be 2, as 'result:double' says",
        "seen": "it is 3",
    }
    assert [row["invariant"] for row in violations[1:]] == [
        "checkpoint"
    ]  # of b's owner
    assert "2 violations" in result.err
    table = seeded_terminal("audit verify")
    assert table.code == 1
    assert "I19" in table.out


def test_without_a_log_nothing_is_verified(terminal: Terminal) -> None:
    assert terminal("audit verify --backend file:nowhere/log.db").code != 0


def test_replay_over_many_is_a_gate(terminal: Terminal) -> None:
    old = Flow("orders").wait_for_signal("go").then(str, name="pay").build()
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        for name in ("a", "b"):
            run_durable_workflow(old, name, 1, backend=backend)
    code = "from sayiir_es import Flow\nflow = Flow('orders').wait_for_signal('go')"
    for name, nodes in (("good", "'pay'"), ("bad", "'charge'")):
        module = f"{code}\nflow = flow.then(str, name={nodes}).then(len).build()\n"
        (terminal.cwd / f"{name}_orders.py").write_text(module)
    good = terminal("audit replay good_orders --workflow orders -o jsonl")
    assert (good.code, good.out) == (0, "")
    bad = terminal("audit replay bad_orders --status awaiting_signal -o jsonl")
    assert bad.code == 1
    (row,) = bad.rows()
    assert (row["workflow"], row["path"], row["count"]) == ("orders", "pay", 2)
    assert row["example"] in ("a", "b")
    assert terminal("audit replay bad_orders --status in_progress").code == 0
    both = terminal("audit replay a bad_orders --status in_progress")
    assert both.code == 2
