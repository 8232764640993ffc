"""`instance timeline`: bars in the terminal, lanes as data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es import run_durable_workflow
from sayiir_es.client.backends import EmbeddedBackend
from tests.cli.sample_workflows import approving

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal


def test_a_timeline_shows_what_ran_and_what_is_waited_for(terminal: Terminal) -> None:
    with EmbeddedBackend(terminal.cwd / "log.db") as backend:
        run_durable_workflow(approving, "b", 2, backend=backend)
    drawn = terminal("instance timeline b --by-order")
    assert drawn.code == 0
    assert max(map(len, drawn.out.splitlines())) < 200  # a pipe has any width
    rows = {line.split()[0]: line for line in drawn.out.splitlines() if line.strip()}
    assert "█" in rows["double"]
    assert rows["double"].endswith("done")
    assert "▸" in rows["go"]
    assert rows["go"].endswith("waiting")
    lanes = terminal("instance timeline b -o jsonl").rows()
    assert [(lane["path"], lane["state"]) for lane in lanes] == [
        ("", "running"),
        ("double", "done"),
        ("go", "waiting"),
    ]


def test_no_timeline_of_an_instance_that_is_not_there(terminal: Terminal) -> None:
    terminal.make_log()
    missing = terminal("instance timeline nobody")
    assert missing.code == 3
    assert "expected an instance 'nobody', but there is none" in missing.err
