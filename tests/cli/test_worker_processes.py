"""Processes of tasks beside a real worker: its drain, and its death."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

from tests.cli.processes import LIMIT_S, running
from tests.engine.attempts.processes.process_harness import is_alive

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Terminal

COMMAND = ("worker", "run", "tests.cli.process_workflows", "--processes", "1")


def text_of(file: Path) -> str:
    """What is in a file, as soon as something is."""
    end_s = time.monotonic() + LIMIT_S
    while not (file.exists() and (text := file.read_text())):
        assert time.monotonic() < end_s, file
        time.sleep(0.01)
    return text


def test_a_worker_that_drains_lets_its_processes_end(terminal: Terminal) -> None:
    words = terminal.cwd / "words"
    typed = (*COMMAND, "--process-memory", "1GB")
    with running(words, *typed, SAYIIR_LOG_FORMAT="json") as worker:
        worker.until("serves waiting")
        started = terminal(
            f"instance start waiting --id w --input '\"{terminal.cwd}\"'"
        )
        assert started.code == 0, started.err
        process = int(text_of(terminal.cwd / "pid"))
        # As systemd does it: each process of the service is told.
        os.kill(process, signal.SIGTERM)
        worker.signal(signal.SIGTERM)
        worker.until("drains")
        assert is_alive(process)
        (terminal.cwd / "go").touch()
        assert worker.wait() == 0
        assert not is_alive(process)
        lines = [json.loads(line) for line in worker.words().splitlines()]
    assert '"done"' in terminal("instance result w").out
    (said,) = (line for line in lines if line["logger"] == "shop")
    assert (said["event"], said["order"], said["level"]) == ("it waits", 7, "warning")
    assert (said["instance_id"], said["task_id"]) == ("w", "waits_for_a_file")


def test_a_worker_that_is_killed_takes_its_processes_with_it(
    terminal: Terminal,
) -> None:
    with running(terminal.cwd / "words", *COMMAND) as worker:
        worker.until("serves waiting")
        terminal(f"instance start waiting --id w --input '\"{terminal.cwd}\"'")
        process = int(text_of(terminal.cwd / "pid"))
        worker.end(signal.SIGKILL)
        end_s = time.monotonic() + LIMIT_S
        while is_alive(process):
            assert time.monotonic() < end_s
            time.sleep(0.01)
    with running(terminal.cwd / "more", *COMMAND) as worker:
        worker.until("serves waiting")
        (terminal.cwd / "go").touch()
        assert '"done"' in terminal("instance result w --wait").out


def test_what_is_no_memory_size_is_named(terminal: Terminal) -> None:
    typed = "worker run tests.cli.process_workflows --process-memory much"
    refused = terminal(typed)
    assert refused.code == 2
    assert "--process-memory: expected memory as bytes, or a text" in refused.err
