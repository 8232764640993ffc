"""`sayiir-es demo`: the first thing that people see, and true."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sayiir_es.cli.demo.checks import broken_claims
from sayiir_es.cli.demo.orders import executions

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal

LIMIT_S = 20


def test_the_order_outlives_a_killed_worker(terminal: Terminal) -> None:
    began_s = time.monotonic()
    result = terminal("demo --keep kept")
    assert time.monotonic() - began_s < LIMIT_S
    assert (result.code, result.err.count("✗")) == (0, 0)
    assert "kill -9" in result.err
    assert "ForkStarted" in result.out
    assert "values.result:charge  added" in result.out
    assert "every invariant holds" in result.err
    log = f"--backend file:{terminal.cwd / 'kept' / 'log.db'}"
    fields = terminal(f"instance show order-7 -o json {log}").json()
    assert fields["status"] == "completed"
    history = terminal(f"instance history order-7 -o jsonl {log}").rows()
    retried = [row for row in history if row["kind"] == "RetryRecorded"]
    assert [(row["path"], row["attempt"]) for row in retried] == [("reserve", 1)]
    charged = next(row for row in history if row.get("path") == "charge")
    assert charged["attempt"] == 1
    owners = [
        str(row["owner"]).partition("/")[0]
        for row in terminal(
            f"event tail --from-start --kind PartitionClaimed -o jsonl {log}"
        ).rows()
    ]
    assert owners == ["first", "second"]
    assert len(executions(terminal.cwd / "kept", "charge")) == 2


def test_a_story_that_is_not_true_is_told_so(terminal: Terminal) -> None:
    assert broken_claims([], [], terminal.cwd)


def test_an_earlier_demo_is_not_written_over(terminal: Terminal) -> None:
    (terminal.cwd / "kept").mkdir()
    (terminal.cwd / "kept" / "log.db").touch()
    again = terminal("demo --keep kept")
    assert again.code == 2
    assert "empty directory" in again.err
