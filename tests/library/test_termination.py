"""SIGTERM ends every command within five seconds, whatever it is doing."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sayiir_es.cli.termination import TERMINATED
from tests.cli.test_startup import ALL_VERBS, OPENS_NO_BACKEND
from tests.library.programs import (
    LIMIT_S,
    files_of,
    has_log_open,
    make_log,
    program_environment,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

END_LIMIT_S = 8.0
AT_ONCE_S = 3.0
"""Less than a command is let end within by itself."""

MODULES = {
    "quick": "",
    "asleep": "import time\nsign()\ntime.sleep(60)\n",
    "in_c": (
        "import hashlib\nsign()\n"
        "hashlib.pbkdf2_hmac('sha256', b'a', b'b', 2_000_000_000)\n"
    ),
    "stubborn": (
        "import time\nsign()\nwhile True:\n"
        "    try:\n        time.sleep(60)\n"
        "    except BaseException:\n        pass\n"
    ),
    "threaded": (
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "sign()\ntime.sleep(60)\n"
    ),
}
COMMON = """
from pathlib import Path
from sayiir_es import Flow

def sign():
    Path("imported").touch()

def double(number):
    return number * 2

doubling = Flow("doubling").then(double).build()
"""


class Command:
    """A command that runs, in a folder."""

    def __init__(self, popen: subprocess.Popen[str], pid: int, cwd: Path) -> None:
        self.popen = popen
        self.pid = pid
        self._cwd = cwd

    def until_imported(self) -> None:
        """Wait until the user's module has signed."""
        self.until((self._cwd / "imported").exists)

    def until_written(self, text: str) -> None:
        """Wait until it has written that."""
        self.until(lambda: text in self.words())

    def words(self) -> str:
        """What it wrote."""
        return (self._cwd / "words").read_text()

    def until(self, condition: object) -> None:
        """Wait for a condition."""
        assert callable(condition)
        end_s = time.monotonic() + LIMIT_S
        while not condition():
            assert self.popen.poll() is None, self.words()
            assert time.monotonic() < end_s, self.words()
            time.sleep(0.02)

    def end(self, *, times: int = 1, limit_s: float = END_LIMIT_S) -> int:
        """Send SIGTERM and return the exit code; fails if it takes too long."""
        begin_s = time.monotonic()
        for _ in range(times):
            os.kill(self.pid, signal.SIGTERM)
            time.sleep(0.1)
        try:
            code = self.popen.wait(limit_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it goes on after {limit_s} s: {self.words()}")
        assert time.monotonic() - begin_s < limit_s
        return code


@contextmanager
def command(
    cwd: Path, *typed: str, before: Sequence[str] = (), **environment: str
) -> Generator[Command]:
    """Run a command, with another one before it."""
    for name, text in MODULES.items():
        (cwd / f"{name}.py").write_text(COMMON + text)
    with (cwd / "words").open("w") as words:
        popen = subprocess.Popen(  # noqa: S603 - ours
            [*before, sys.executable, "-m", "sayiir_es.cli", *typed],
            cwd=cwd,
            env=program_environment({"SAYIIR_BACKEND": "file:log.db", **environment}),
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            text=True,
        )
    try:
        yield Command(popen, popen.pid, cwd)
    finally:
        if popen.poll() is None:
            popen.kill()
        popen.wait()


@pytest.mark.parametrize("module", ["asleep", "in_c", "stubborn", "threaded"])
def test_while_a_module_is_imported(tmp_path: Path, module: str) -> None:
    with command(tmp_path, "worker", "run", module) as worker:
        worker.until_imported()
        assert worker.end() == TERMINATED


@pytest.mark.parametrize("module", ["stubborn", "in_c"])
def test_the_second_one_at_once(tmp_path: Path, module: str) -> None:
    with command(tmp_path, "worker", "run", module) as worker:
        worker.until_imported()
        assert worker.end(times=2, limit_s=AT_ONCE_S) == TERMINATED


def test_the_second_one_at_once_while_attempts_end(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text(
        "import time\nfrom sayiir_es import Flow\n"
        "def sleep(_):\n    print('begun', flush=True)\n    time.sleep(60)\n"
        "sleeping = Flow('sleeping').then(sleep).build()\n"
    )
    with command(tmp_path, "worker", "run", "long") as worker:
        worker.until_written("serves")
        subprocess.run(  # noqa: S603 - ours
            [
                *(sys.executable, "-m", "sayiir_es.cli", "instance", "start"),
                *("sleeping", "--id", "s", "--backend", "file:log.db"),
            ],
            cwd=tmp_path,
            env=program_environment(),
            check=True,
            capture_output=True,
        )
        worker.until_written("begun")
        os.kill(worker.pid, signal.SIGTERM)
        worker.until_written("drains")
        assert worker.end(limit_s=AT_ONCE_S) == TERMINATED


def test_an_idle_worker_ends_well(tmp_path: Path) -> None:
    with command(tmp_path, "worker", "run", "quick") as worker:
        worker.until_written("serves")
        assert worker.end() == 0


needs_unshare = pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(  # noqa: S603 - the system's
        [shutil.which("unshare") or "unshare", "--pid", "--fork", "true"],
        check=False,
        capture_output=True,
    ).returncode
    != 0,
    reason="no right to make a process the first one",
)


@needs_unshare
@pytest.mark.parametrize(
    ("typed", "text", "code"),
    [
        (("worker", "run", "quick"), "serves", 0),
        (("worker", "run", "asleep"), "", TERMINATED),
        (("projector", "run", "--state-dir", "views"), "caught up", 0),
        (("event", "tail"), "", TERMINATED),
    ],
)
def test_as_the_first_process_of_a_container(
    tmp_path: Path, typed: tuple[str, ...], text: str, code: int
) -> None:
    """The system gives it no signal that it does not handle."""
    make_log(tmp_path)
    with command(
        tmp_path, *typed, before=("unshare", "--pid", "--fork", "--kill-child")
    ) as first:
        unshare = first.popen.pid
        first.until(lambda: children_of(unshare))
        (first.pid,) = children_of(unshare)
        if text:
            first.until_written(text)
        elif typed[-1] == "asleep":
            first.until_imported()
        else:
            first.until(lambda: has_log_open(first.pid))
        assert first.end() == code


def children_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123 (of /proc)
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


@contextmanager
def silent_broker() -> Generator[tuple[socket.socket, str]]:
    """Takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.settimeout(LIMIT_S)
        yield listener, f"kafka://127.0.0.1:{listener.getsockname()[1]}/app"


def silent_verbs() -> list[str]:
    """The verbs that talk to a log; no others."""
    return sorted(ALL_VERBS.keys() - OPENS_NO_BACKEND - {"demo"})


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "group", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, 12))]
)
def test_while_the_broker_is_silent(tmp_path: Path, group: int) -> None:
    for number, name in enumerate(silent_verbs()[group::12]):
        cwd = tmp_path / str(number)
        cwd.mkdir()
        typed = shlex.split(ALL_VERBS[name].example)
        typed = ["quick" if word == "examples.orders" else word for word in typed]
        if "--backend" in typed:  # of the example's; the environment has ours
            at = typed.index("--backend")
            del typed[at : at + 2]
        with (
            silent_broker() as (listener, url),
            command(cwd, *typed, SAYIIR_BACKEND=url) as verb,
        ):
            if not reaches(listener, verb.popen):
                continue  # it needs more than its example to begin
            assert verb.end() in {TERMINATED, 0}, name


def reaches(listener: socket.socket, process: subprocess.Popen[str]) -> bool:
    """Wait until a process has connected; False if it ends before."""
    listener.settimeout(0.1)
    end_s = time.monotonic() + LIMIT_S
    while process.poll() is None and time.monotonic() < end_s:
        try:
            listener.accept()
        except TimeoutError:
            continue
        return True
    return False


def test_a_worker_survives_the_end_of_what_its_task_forked(tmp_path: Path) -> None:
    """A child of a fork does not pass its signals on to its parent."""
    (tmp_path / "forking.py").write_text(
        "import multiprocessing, time\nfrom sayiir_es import Flow\n"
        "def fork(_):\n"
        "    child = multiprocessing.get_context('fork').Process(\n"
        "        target=time.sleep, args=(60,))\n"
        "    child.start()\n    time.sleep(0.3)\n"
        "    child.terminate()\n    child.join(5)\n    return child.exitcode\n"
        "forking = Flow('forking').then(fork).build()\n"
    )
    with command(tmp_path, "worker", "run", "forking") as worker:
        worker.until_written("serves")
        process = subprocess.run(  # noqa: S603 - ours
            [
                *(sys.executable, "-m", "sayiir_es.cli", "instance", "start"),
                *("forking", "--wait", "--backend", "file:log.db", "-o", "json"),
            ],
            cwd=tmp_path,
            env=program_environment(),
            check=True,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        assert f'"output": {-signal.SIGTERM}' in process.stdout, process.stdout
        time.sleep(0.3)
        assert worker.popen.poll() is None
        assert "drains" not in worker.words()
        assert worker.end() == 0


@pytest.mark.kafka
@pytest.mark.parametrize("backend", ["file", "kafka"])
def test_what_a_task_of_a_worker_forks_holds_nothing_of_it(
    tmp_path: Path, backend: str, request: pytest.FixtureRequest
) -> None:
    url = f"file:{tmp_path / 'log.db'}"
    if backend == "kafka":
        bootstrap: str = request.getfixturevalue("kafka_bootstrap")
        url = f"kafka://{bootstrap}/held-{os.getpid()}"
    (tmp_path / "forking.py").write_text(
        "import os, time\nfrom sayiir_es import Flow\n"
        "def fork(_):\n    child = os.fork()\n"
        "    if child == 0:\n        time.sleep(60)\n        os._exit(0)\n"
        "    return child\n"
        "forking = Flow('forking').then(fork).build()\n"
    )
    environment = {"SAYIIR_BACKEND": url, "SAYIIR_STATE_DIR": str(tmp_path / "state")}
    with command(tmp_path, "worker", "run", "forking", **environment) as worker:
        worker.until_written("serves")
        process = subprocess.run(  # noqa: S603 - ours
            [
                *(sys.executable, "-m", "sayiir_es.cli", "instance", "start"),
                *("forking", "--wait", "-o", "json"),
            ],
            cwd=tmp_path,
            env=program_environment(environment),
            check=True,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        child = int(json.loads(process.stdout)["output"])
        try:
            assert held(worker.pid)
            assert held(child) == []
            assert worker.end() == 0
        finally:
            os.kill(child, signal.SIGKILL)


def held(pid: int) -> list[str]:
    """What a process has open that only one process may have."""
    names = files_of(pid)
    suffixes = (".owner", ".commit", ".next", ".waiting", ".wake", "/lock")
    prefixes = ("socket:", "pipe:", "anon_inode:[eventpoll]")
    return [n for n in names if n.startswith(prefixes) or n.endswith(suffixes)]
