"""Sessions and threads of a program with many event loops, threads and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.library.programs import run_program

if TYPE_CHECKING:
    from pathlib import Path

COUNT = """
import asyncio, atexit, os, threading, time
from sample import doubling
from sayiir_es import EmbeddedBackend, InMemoryBackend, WorkflowClient
from sayiir_es import aio, run_durable_workflow

def counts():
    return threading.active_count(), len(os.listdir("/proc/self/fd"))
"""


@pytest.mark.parametrize("backend", ["EmbeddedBackend('log.db')", "InMemoryBackend()"])
def test_many_loops_one_after_the_other_leave_nothing(
    tmp_path: Path, backend: str
) -> None:
    run_program(
        f"""{COUNT}
backend = {backend}
client = aio.WorkflowClient(backend)

async def main(number):
    await client.submit(doubling, f"s-{{number}}", number)
    status = await aio.run_durable_workflow(doubling, f"r-{{number}}", 1, backend)
    assert status.output == 2

asyncio.run(main(-1))
before = counts()
for number in range(30):
    asyncio.run(main(number))
threads, descriptors = counts()
assert threads <= before[0] + 3, (before, counts())
assert descriptors <= before[1] + 10, (before, counts())
""",
        tmp_path,
    )


def test_the_end_of_a_loop_frees_the_log_for_other_processes(tmp_path: Path) -> None:
    run_program(
        f"""{COUNT}
import subprocess, sys
client = aio.WorkflowClient("file:log.db")
asyncio.run(client.submit(doubling, "a", 1))
subprocess.run([sys.executable, "-c",
    "from sample import doubling; from sayiir_es import run_durable_workflow\\n"
    "assert run_durable_workflow(doubling, 'b', 1, 'file:log.db').output == 2"],
    check=True, timeout=50)  # it would wait for ever
""",
        tmp_path,
    )


@pytest.mark.parametrize("turn", range(4))  # it ended by SIGABRT every third time
def test_a_loop_that_is_closed_by_hand_keeps_nothing_either(
    tmp_path: Path, turn: int
) -> None:
    """Without `shutdown_asyncgens` nobody tells: the next call drops what is left."""
    del turn
    run_program(
        f"""{COUNT}
client = aio.WorkflowClient("file:log.db")
most = 0
for number in range(20):
    loop = asyncio.new_event_loop()
    loop.run_until_complete(client.submit(doubling, f"s-{{number}}", number))
    loop.close()
    most = max(most, *counts())
assert most < 60, most
assert asyncio.run(client.count()) == 20
""",
        tmp_path,
    )


def test_one_client_serves_loops_of_several_threads_at_once(tmp_path: Path) -> None:
    run_program(
        f"""{COUNT}
client = aio.WorkflowClient("file:log.db")
failures = []

async def main(number):
    for turn in range(5):
        await client.submit(doubling, f"i-{{number}}-{{turn}}", turn)

def call(number):
    try:
        asyncio.run(main(number))
    except BaseException as error:
        failures.append(repr(error))

threads = [threading.Thread(target=call, args=(number,)) for number in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not failures, failures
assert WorkflowClient("file:log.db").count() == 30
""",
        tmp_path,
    )


@pytest.mark.parametrize(
    "call",
    [
        "client.submit(doubling, f'i-{number}', number)",
        "run_durable_workflow(doubling, f'i-{number}', number, 'file:log.db')",
        "run_durable_workflow(doubling, f'i-{number}', number, backend)",
    ],
)
def test_sixteen_first_calls_at_once_share_one_loop(tmp_path: Path, call: str) -> None:
    run_program(
        f"""{COUNT}
client, backend = WorkflowClient("file:log.db"), EmbeddedBackend("log.db")
barrier, failures = threading.Barrier(16), []

def first(number):
    barrier.wait()
    try:
        {call}
    except BaseException as error:
        failures.append(repr(error))

threads = [threading.Thread(target=first, args=(number,)) for number in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert not failures, failures
names = [one.name for one in threading.enumerate()]
assert names.count("sayiir-EmbeddedBackend") == 1, names
assert names.count("sayiir-commits") == names.count("sayiir-socket") == 1, names
""",
        tmp_path,
    )


def test_clients_that_have_gone_leave_no_thread(tmp_path: Path) -> None:
    """A web handler that makes a client for each request."""
    run_program(
        f"""{COUNT}
import gc
for number in range(12):
    WorkflowClient("file:log.db").submit(doubling, f"i-{{number}}", number)
gc.collect()
end = time.monotonic() + 20
while threading.active_count() > 2 and time.monotonic() < end:
    time.sleep(0.05)
assert threading.active_count() <= 2, threading.enumerate()
""",
        tmp_path,
    )


LATE_CALLS = [
    "client.submit(doubling, 'late', 1)",
    "run_durable_workflow(doubling, 'late', 1, 'file:log.db')",
    "run_durable_workflow(doubling, 'late', 1, backend)",
    "asyncio.run(aio.run_durable_workflow(doubling, 'late', 1, 'file:log.db'))",
]
LATE = f"""{COUNT}
client, backend = WorkflowClient("file:log.db"), EmbeddedBackend("log.db")

def late():
    CALL
    print("called")

def behind_main():
    threading.main_thread().join()
    time.sleep(0.2)
    late()
"""


@pytest.mark.parametrize("is_used_before", [False, True])
@pytest.mark.parametrize("call", LATE_CALLS)
@pytest.mark.parametrize(
    "when",
    [
        "atexit.register(late)",
        "threading.Thread(target=behind_main).start()",
    ],
    ids=["atexit", "thread"],
)
def test_calls_work_when_the_main_thread_has_ended(
    tmp_path: Path, when: str, call: str, *, is_used_before: bool
) -> None:
    use = "client.submit(doubling, 'early', 1)" if is_used_before else ""
    source = f"{LATE.replace('CALL', call)}\n{when}\n{use}\n"
    process = run_program(source, tmp_path)
    assert process.stdout == "called\n"
    assert process.stderr == ""


def test_functions_at_exit_that_were_registered_first_may_call_too(
    tmp_path: Path,
) -> None:
    process = run_program(
        """
import atexit
def late():
    from sample import doubling
    from sayiir_es import run_durable_workflow
    print(run_durable_workflow(doubling, "late", 1, "file:log.db").output)
atexit.register(late)
from sample import doubling
from sayiir_es import run_durable_workflow
run_durable_workflow(doubling, "early", 1, "file:log.db")
""",
        tmp_path,
    )
    assert (process.stdout, process.stderr) == ("2\n", "")


@pytest.mark.parametrize(
    "left_open",
    [
        "Worker('w', EmbeddedBackend('log.db')).start([doubling])",
        "handle = Worker('w', 'file:log.db').start([doubling])",
        "run_durable_workflow(doubling, 'a', 1, EmbeddedBackend('log.db'))",
        "backend = EmbeddedBackend('log.db'); backend.session",
    ],
)
def test_a_program_ends_well_that_closes_nothing(
    tmp_path: Path, left_open: str
) -> None:
    process = run_program(
        f"{COUNT}\nfrom sayiir_es import Worker\n{left_open}\n", tmp_path
    )
    assert process.stderr == ""
