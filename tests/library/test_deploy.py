"""A deploy in the middle of a run: `kill -9` of one build, and the next one goes on."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sayiir_es import WorkflowClient
from sayiir_es.audit import find_stranded, verify
from sayiir_es.client.backends import EmbeddedBackend
from tests.library.programs import LIMIT_S, program_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

BUILD = """
import time
from pathlib import Path
from sayiir_es import Flow, RetryPolicy, task

def note(build, value):
    with Path("executions").open("a") as file:
        file.write(f"{build}\\n")
    return [*value, build]
"""

FIRST = (
    BUILD
    + """
def charge(value):
    note("A", value)
    time.sleep(600)

orders = Flow("orders").then(lambda v: v, name="check").then(charge).build()
"""
)

SECOND = (
    BUILD
    + """
@task(name="charge", retries=RetryPolicy(max_retries=2), timeout="1m", priority=1)
def charge(value):
    return note("B", value)

orders = (
    Flow("orders", metadata={"build": "B"})
    .then(lambda v: v, name="check")
    .then(charge)
    .then(len, name="ship")
    .build()
)
"""
)

THIRD = (
    BUILD
    + """
orders = Flow("orders").then(lambda v: v, name="check").then(len, name="pay").build()
"""
)


@contextmanager
def worker(folder: Path, build: str) -> Generator[subprocess.Popen[bytes]]:
    """A worker of a build in a process of its own; killed at the end."""
    (folder / "orders_app.py").write_text(build)
    log = (folder / "worker.log").open("ab")
    line = [sys.executable, "-B", "-m", "sayiir_es.cli", "worker", "run", "orders_app"]
    with log:
        process = subprocess.Popen(  # noqa: S603 - ours
            [*line, "--backend", f"file:{folder / 'log.db'}"],
            cwd=folder,
            env=program_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], bool], folder: Path) -> None:
    end_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end_s, (folder / "worker.log").read_text()
        time.sleep(0.05)


def test_the_next_build_goes_on_where_the_first_was_killed(tmp_path: Path) -> None:
    executions = tmp_path / "executions"
    with EmbeddedBackend(tmp_path / "log.db") as backend:
        client = WorkflowClient(backend)
        with worker(tmp_path, FIRST):
            until((tmp_path / "log.db").exists, tmp_path)
            client.submit("orders", "i", [])
            until(executions.exists, tmp_path)
        with worker(tmp_path, SECOND):
            status = client.wait("i", timeout=LIMIT_S)
            assert status.output == ["B"]
            assert client.run("orders", "j", [], timeout=LIMIT_S).output == 1
        assert executions.read_text().split() == ["A", "B", "B"]
        assert verify(backend).holds


def test_a_build_without_the_task_strands_it_until_it_is_migrated(
    tmp_path: Path,
) -> None:
    with EmbeddedBackend(tmp_path / "log.db") as backend:
        client = WorkflowClient(backend)
        with worker(tmp_path, FIRST):
            until((tmp_path / "log.db").exists, tmp_path)
            client.submit("orders", "i", [1, 2])
            until((tmp_path / "executions").exists, tmp_path)
        with worker(tmp_path, THIRD) as process:
            until(lambda: client.count(status="stranded") == 1, tmp_path)
            assert "lacks the code of 'orders'" in client.status("i").waiting_for
            log = tmp_path / "worker.log"
            until(lambda: "worker.instances_stranded" in log.read_text(), tmp_path)
            assert log.read_text().count("instance.stranded") == 1
            client.migrate("i", to="latest", mapping={"charge": "pay"})
            process.kill()  # whether it ran or not: the next one goes on
            process.wait()
        with worker(tmp_path, THIRD):
            assert client.wait("i", timeout=LIMIT_S).output == 2
        assert verify(backend).holds
        assert find_stranded(backend, [], status="in_progress").nodes == ()
