"""A child of `os.fork` begins anew, and its parent is not disturbed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.library.programs import run_program

if TYPE_CHECKING:
    from pathlib import Path

COMMON = """
import asyncio, os, signal, sys, threading, time
from sample import doubling
from sayiir_es import BackendError, EmbeddedBackend, InMemoryBackend, Worker
from sayiir_es import WorkflowClient, aio, run_durable_workflow
from sayiir_es.core.model.errors import StoreError

def in_child(work, limit_s=40):
    # The exit code of a child that does some work; it ends as a program does.
    is_main = threading.current_thread() is threading.main_thread()
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except SystemExit:
            raise  # of a child's child
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(9)
        if not is_main:
            os._exit(7)  # a thread's `sys.exit` ends nothing else
        sys.exit(7)
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hangs"
"""

USES = {
    "client": "WorkflowClient('file:log.db').submit(doubling, f'c-{os.getpid()}', 1)",
    "shared-client": "client.submit(doubling, f'c-{os.getpid()}', 1)",
    "url": "run_durable_workflow(doubling, f'c-{os.getpid()}', 1, 'file:log.db')",
    "object": "run_durable_workflow(doubling, f'c-{os.getpid()}', 1, backend)",
    "aio": "asyncio.run(acl.submit(doubling, f'c-{os.getpid()}', 1))",
    "worker": """
    try:
        with Worker('child', backend).start([doubling]):
            client.run(doubling, f'c-{os.getpid()}', 1, timeout=30)
    except StoreError as error:  # the parent's RocksDB cannot be used behind a fork
        assert "start the child by `spawn`" in str(error), error""",
}


@pytest.mark.parametrize("parent", ["nothing", "calls", "works"])
@pytest.mark.parametrize("use", USES)
def test_a_child_uses_a_file_and_so_does_its_parent_afterwards(
    tmp_path: Path, use: str, parent: str
) -> None:
    if (parent, use) == ("works", "worker"):
        return
    before = {
        "nothing": "",
        "calls": "for name in 'ab': run_durable_workflow(doubling, name, 1, backend)\n"
        "client.submit(doubling, 'p', 1)",
        "works": "worker = Worker('parent', 'file:log.db').start([doubling])",
    }[parent]
    after = "worker.shutdown(); worker.join()" if parent == "works" else ""
    run_program(
        f"""{COMMON}
client, backend = WorkflowClient("file:log.db"), EmbeddedBackend("log.db")
acl = aio.WorkflowClient("file:log.db")
{before}

def use():
    {USES[use]}

for turn in range(3):
    code = in_child(use)
    assert code == 7, code
    status = run_durable_workflow(doubling, f"after-{{turn}}", turn, backend)
    assert status.output == 2 * turn
    client.submit(doubling, f"by-client-{{turn}}", turn)
{after}
assert client.count() >= 6
import subprocess
subprocess.run([sys.executable, "-m", "sayiir_es.cli", "audit", "verify",
                "--backend", "file:log.db"], check=True)
""",
        tmp_path,
    )


def test_children_call_at_once_while_their_parent_does(tmp_path: Path) -> None:
    """As gunicorn's workers do with `--preload`."""
    run_program(
        f"""{COMMON}
client = WorkflowClient("file:log.db")
client.submit(doubling, "first", 1)

def use():
    for turn in range(10):
        client.submit(doubling, f"c-{{os.getpid()}}-{{turn}}", turn)

codes = []
threads = [
    threading.Thread(target=lambda: codes.append(in_child(use, 40))) for _ in range(4)
]
[thread.start() for thread in threads]
for turn in range(10):
    client.submit(doubling, f"p-{{turn}}", turn)
[thread.join() for thread in threads]
assert codes == [7] * 4, codes
assert client.count() == 51, client.count()
""",
        tmp_path,
    )


def test_a_pool_of_forked_processes_calls(tmp_path: Path) -> None:
    run_program(
        f"""{COMMON}
import multiprocessing
client = WorkflowClient("file:log.db")

def use(number):
    return client.submit(doubling, f"i-{{number}}", number).instance_id

if __name__ == "__main__":
    client.submit(doubling, "first", 1)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert len(pool.map(use, range(12))) == 12
    assert client.count() == 13
""",
        tmp_path,
    )


def test_children_of_children_call(tmp_path: Path) -> None:
    process = run_program(
        f"""{COMMON}
client = WorkflowClient("file:log.db")

def use(level=0):
    client.submit(doubling, f"c-{{level}}", 1)
    assert run_durable_workflow(doubling, f"r-{{level}}", 1, "file:log.db").output == 2
    if level < 3:
        assert in_child(lambda: use(level + 1), 40) == 7
    client.submit(doubling, f"d-{{level}}", 1)

use()
print(client.count())
""",
        tmp_path,
    )
    assert process.stdout == "12\n"


def test_a_program_that_leaves_its_terminal_calls(tmp_path: Path) -> None:
    """As daemons do: the parent ends, its child goes on."""
    run_program(
        f"""{COMMON}
client = WorkflowClient("file:log.db")
client.submit(doubling, "before", 1)
reading, writing = os.pipe()
if os.fork():
    os.close(writing)
    assert os.read(reading, 9) == b"done"
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
client.submit(doubling, "in-child", 1)
assert run_durable_workflow(doubling, "run", 1, "file:log.db").output == 2
os.write(writing, b"done")
""",
        tmp_path,
    )


def test_memory_of_the_parent_is_refused_in_words_and_fresh_memory_works(
    tmp_path: Path,
) -> None:
    run_program(
        f"""{COMMON}
used, unused = InMemoryBackend(), InMemoryBackend()
run_durable_workflow(doubling, "a", 1, used)

def use():
    assert run_durable_workflow(doubling, "b", 1, unused).output == 2
    assert run_durable_workflow(doubling, "c", 1).output == 2
    begin = time.monotonic()
    try:
        run_durable_workflow(doubling, "d", 1, used)
    except BackendError as error:
        assert "make one in the child" in str(error), error
    else:
        raise AssertionError("expected a refusal")
    assert time.monotonic() - begin < 10

assert in_child(use) == 7
assert run_durable_workflow(doubling, "e", 1, used).output == 2
""",
        tmp_path,
    )


def test_the_worker_of_a_parent_is_refused_in_words_to_its_child(
    tmp_path: Path,
) -> None:
    run_program(
        f"""{COMMON}
handle = Worker("w", "file:log.db").start([doubling])
client = WorkflowClient("file:log.db")

def shut_down():
    begin = time.monotonic()
    for call in (handle.shutdown, handle.join):
        try:
            call()
        except BackendError as error:
            assert "begin anew in the child" in str(error), error
        else:
            raise AssertionError("expected a refusal")
    assert time.monotonic() - begin < 10

assert in_child(shut_down) == 7
with handle:  # a child that leaves the block by its end leaves the worker alone
    code = in_child(lambda: None)
    assert code == 7, code
    assert client.run(doubling, "a", 4, timeout=30).output == 8
""",
        tmp_path,
    )


INHERITED = """
def held(pid):
    # What a process has open that only one process may have.
    names = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            names.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            pass
    return sorted(
        name for name in names
        if name.startswith(("socket:", "anon_inode:[eventpoll]"))
        or name.endswith((".owner", ".commit", ".next", ".waiting", ".wake", "/lock"))
        or ".db" in os.path.basename(name) and "state" not in name
    )
"""


@pytest.mark.parametrize(
    "fork", ["os.fork()", "multiprocessing.get_context('fork').Process(target=stay)"]
)
def test_what_a_task_forks_has_no_lock_and_no_socket_of_its_worker(
    tmp_path: Path, fork: str
) -> None:
    run_program(
        f"""{COMMON}
import multiprocessing
from sayiir_es import Flow
{INHERITED}
read_end, write_end = os.pipe()

def stay():
    os.write(write_end, b"!")  # the child has left what it had of its parent
    time.sleep(60)
    os._exit(0)

def forks(_):
    child = {fork}
    if child == 0:
        stay()
    if not isinstance(child, int):
        child.start()
        child = child.pid
    os.read(read_end, 1)
    return child

forking = Flow("forking").then(forks).build()
client = WorkflowClient("file:log.db")
handle = Worker("w", EmbeddedBackend("log.db")).start([forking])
pid = client.run(forking, "f", None, timeout=30).output
mine = held(os.getpid())
assert any(name.endswith(".owner") for name in mine), mine
assert any(name.startswith("socket:") for name in mine), mine
assert held(pid) == [], held(pid)
handle.shutdown(); handle.join()
# The child lives on, and another process owns the log at once.
assert run_durable_workflow(doubling, "x", 1, "file:log.db").output == 2
os.kill(pid, signal.SIGKILL)
""",
        tmp_path,
    )


def test_what_a_task_spawns_has_no_lock_and_no_socket_of_its_worker(
    tmp_path: Path,
) -> None:
    run_program(
        f"""{COMMON}
import subprocess
from sayiir_es import Flow
{INHERITED}
def spawns(_):
    return subprocess.Popen(["sleep", "60"], close_fds=False).pid

flow = Flow("spawning").then(spawns).build()
with Worker("w", EmbeddedBackend("log.db")).start([flow]):
    pid = WorkflowClient("file:log.db").run(flow, "f", None, timeout=30).output
    assert held(pid) == [], held(pid)
    os.kill(pid, signal.SIGKILL)
""",
        tmp_path,
    )


def test_a_forked_child_that_returns_from_its_task_ends_there(tmp_path: Path) -> None:
    process = run_program(
        f"""{COMMON}
from sayiir_es import Flow

def forks(_):
    child = os.fork()
    return child if child else "of the child"

flow = Flow("forking").then(forks).build()
client = WorkflowClient("file:log.db")
with Worker("w", EmbeddedBackend("log.db")).start([flow]):
    pid = client.run(flow, "f", None, timeout=30).output
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert isinstance(client.status("f").output, int)
""",
        tmp_path,
    )
    assert "it returned from the task" in process.stderr


def test_a_system_without_forks_and_file_locks_is_told_of_in_words(
    tmp_path: Path,
) -> None:
    """As Windows is: what needs neither is imported there."""
    run_program(
        """
import sys
sys.modules["fcntl"] = None
from sayiir_es import Flow, TaskError, task
for name in ("EmbeddedBackend", "KafkaBackend", "Worker", "run_durable_workflow"):
    try:
        __import__("sayiir_es", fromlist=[name]).__getattr__(name)
    except ImportError as error:
        assert "expected Linux or macOS" in str(error), error
        assert sys.platform in str(error), error
    else:
        raise AssertionError(name)
""",
        tmp_path,
    )
