"""`instance state`, `instance diff` and `audit replay`: what was true, what changed."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from sayiir_es import run_durable_workflow, send_signal
from sayiir_es.client.backends import EmbeddedBackend
from tests.cli.sample_workflows import approving, doubling

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal

CHANGED = """
from sayiir_es import Flow, task


@task
def double(number: int) -> int:
    return number * 2


flow = Flow("approving").then(double).wait_for_signal("{signal}", timeout="1h")
approving = flow{more}.build()
"""


@pytest.fixture
def parked(terminal: Terminal) -> Terminal:
    """A log with an instance that waits, and another one."""
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        send_signal("b", "early", {"by": "ana"}, backend=backend)
        run_durable_workflow(approving, "b", 2, backend=backend)
        run_durable_workflow(doubling, "a", 1, backend=backend)
    return terminal


def module(terminal: Terminal, name: str, signal: str, more: str = "") -> str:
    """A module of that name with the workflow as somebody changed it."""
    text = CHANGED.format(signal=signal, more=more)
    (terminal.cwd / f"{name}.py").write_text(text)
    return name


def test_the_state_behind_the_last_event_is_what_show_says(parked: Terminal) -> None:
    state = parked("instance state b -o json").json()
    show = parked("instance show b -o json").json()
    assert {name: state[name] for name in show if name in state} == {
        name: show[name] for name in show if name in state
    }
    assert state["status"] == "awaiting_signal"
    early = {"signal:1": {"by": "ana"}}
    assert state["values"] == {"start": 2, "result:double": 4} | early
    assert state["signals"] == {"early": [1]}


def test_the_state_behind_an_event_is_what_was_then(parked: Terminal) -> None:
    state = parked("instance state b --at 3 -o json").json()
    assert state["waiting_for"] == "task 'double', attempt 1"
    assert state["values"] == {"start": 2, "signal:1": {"by": "ana"}}
    table = parked("instance state b --at 3")
    assert table.code == 0
    lines = table.out.splitlines()
    assert "CURSORS" in lines
    assert any(line.split() == ["start", "2"] for line in lines)


def test_a_state_that_never_was_is_not_found(parked: Terminal) -> None:
    wrong = parked("instance state b --at 9")
    assert (wrong.code, wrong.out) == (3, "")
    assert "a sequence of 0 to 5, but 9" in wrong.err
    assert parked("instance state nobody").code == 3
    assert parked("instance state b --at -1").code == 2


def test_a_difference_names_fields_before_and_after(parked: Terminal) -> None:
    rows = parked("instance diff b 3 4 -o jsonl").rows()
    changes = {str(row["field"]): row for row in rows}
    assert changes["values.result:double"] == {
        "field": "values.result:double",
        "change": "added",
        "before": None,
        "after": 4,
    }
    assert changes["sequence"]["change"] == "changed"
    assert changes["attempts.double"]["change"] == "removed"
    table = parked("instance diff b 0")
    assert "FIELD" in table.out
    assert "until_at=" in table.out, "a time is shown as one"


def test_nothing_differs_between_a_state_and_itself(parked: Terminal) -> None:
    same = parked("instance diff b 3 3")
    assert (same.code, same.out) == (0, "")
    assert "no field differs" in same.err
    assert json.loads(parked("instance diff b 3 3 -o json").out) == []


def test_replay_without_a_module_folds(parked: Terminal) -> None:
    result = parked("audit replay b")
    assert (result.code, result.out) == (0, "")
    assert "5 events folded" in result.err


def test_replay_against_the_workflow_as_it_is(parked: Terminal) -> None:
    result = parked("audit replay b tests.cli.sample_workflows")
    assert (result.code, result.out) == (0, "")
    assert "equal to approving" in result.err
    assert "changed" not in result.err


def test_replay_says_that_a_longer_workflow_goes_on_from_there(
    parked: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(parked.cwd), *sys.path])
    longer = module(parked, "longer_shop", "go", ".then(double, name='again')")
    result = parked(f"audit replay b {longer}")
    assert result.code == 0, result
    assert "equal to approving; the definition has changed since" in result.err


def test_replay_against_a_changed_workflow_names_the_first_difference(
    parked: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(parked.cwd), *sys.path])
    other = module(parked, "other_shop", "stop")
    result = parked(f"audit replay b {other} -o json")
    assert result.code == 1, result
    (row,) = json.loads(result.out)
    assert (row["kind"], row["sequence"], row["offset"]) == ("SignalAwaited", 5, 5)
    assert row["expected"]
    assert "other_shop would not allow" in result.err
    assert "SignalAwaited" in parked(f"audit replay b {other}").out


def test_replay_without_the_workflow_of_the_instance_is_a_usage_error(
    parked: Terminal,
) -> None:
    result = parked("audit replay a tests.cli.every_node")
    assert result.code == 2
    assert "['doubling']" in result.err
    assert parked("audit replay nobody").code == 3
    assert parked("audit replay a no.such.module").code == 2
