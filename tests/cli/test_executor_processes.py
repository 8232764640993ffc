"""Processes of tasks beside a real executor: its drain, and its death."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from tests.cli.processes import LIMIT_S, running
from tests.cli.test_worker_processes import text_of
from tests.engine.attempts.processes.process_harness import is_alive

if TYPE_CHECKING:
    from tests.cli.conftest import Terminal

MODULE = "tests.executor.process_flows"
COMMAND = ("executor", "run", MODULE, "--processes", "1", "--process-memory", "1GB")


def test_told_to_end_an_executor_lets_its_processes_end(terminal: Terminal) -> None:
    file = terminal.cwd / "pid"
    with (
        running(terminal.cwd / "worker", "worker", "run", MODULE) as worker,
        running(terminal.cwd / "words", *COMMAND, "--drain", "1m") as executor,
    ):
        worker.until("serves")
        executor.until("runs tasks of")
        started = terminal(f"instance start waits --id w --input '\"{file}\"'")
        assert started.code == 0, started.err
        process = int(text_of(file))
        # As systemd does it: each process of the service is told.
        os.kill(process, signal.SIGTERM)
        executor.signal(signal.SIGTERM)
        executor.until("drains")
        assert is_alive(process)
        (terminal.cwd / "pid.go").touch()
        assert executor.wait() == 0
        assert not is_alive(process)
        assert '"innocent"' in terminal("instance result w --wait").out


def test_an_executor_that_is_killed_takes_its_processes_with_it(
    terminal: Terminal,
) -> None:
    file = terminal.cwd / "pid"
    with (
        running(terminal.cwd / "worker", "worker", "run", MODULE) as worker,
        running(terminal.cwd / "words", *COMMAND) as executor,
    ):
        worker.until("serves")
        executor.until("runs tasks of")
        terminal(f"instance start waits --id w --input '\"{file}\"'")
        process = int(text_of(file))
        executor.end(signal.SIGKILL)
        end_s = time.monotonic() + LIMIT_S
        while is_alive(process):
            assert time.monotonic() < end_s
            time.sleep(0.01)


def test_what_is_no_memory_size_is_named(terminal: Terminal) -> None:
    refused = terminal(f"executor run {MODULE} --process-memory much")
    assert refused.code == 2
    assert "--process-memory: expected memory as bytes, or a text" in refused.err
