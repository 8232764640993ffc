"""A client on Kafka in programs with many loops, forks and ends."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.library.programs import run_program
from tests.library.test_forks import COMMON

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.kafka

CLIENT = f"""{COMMON}
from sayiir_es import KafkaBackend
url = sys.argv[1]

def sockets(pid="self"):
    names = []
    for fd in os.listdir(f"/proc/{{pid}}/fd"):
        try:
            names.append(os.readlink(f"/proc/{{pid}}/fd/{{fd}}"))
        except OSError:
            pass  # closed meanwhile
    return [n for n in names if n.startswith("socket:") or "eventpoll" in n]
"""


def url(bootstrap: str, name: str) -> str:
    return f"kafka://{bootstrap}/{name}-{os.getpid()}"


def test_many_loops_one_after_the_other_leave_nothing(
    tmp_path: Path, kafka_bootstrap: str
) -> None:
    run_program(
        f"""{CLIENT}
client = aio.WorkflowClient(url)
def counts():
    return threading.active_count(), len(os.listdir("/proc/self/fd"))

async def main(number):
    await client.submit(doubling, f"i-{{number}}", number, ack="log")

asyncio.run(main(-1))
before = counts()
for number in range(20):
    asyncio.run(main(number))
assert counts()[0] <= before[0] + 2, (before, counts())
assert counts()[1] <= before[1] + 5, (before, counts())
""",
        tmp_path,
        url(kafka_bootstrap, "loops"),
    )


def test_a_child_calls_and_its_parent_stays_in_its_group(
    tmp_path: Path, kafka_bootstrap: str
) -> None:
    """The worker and the client of the parent go on over the same connections."""
    process = run_program(
        f"""{CLIENT}
import logging
logging.basicConfig(level="INFO", stream=sys.stdout)
backend = KafkaBackend(url.split("/")[2], app=url.split("/")[3], state_dir="state",
                       session_timeout_ms=6000)
worker = Worker("parent", backend).start([doubling])
client = WorkflowClient(url)
assert client.run(doubling, "before", 1, timeout=30).output == 2
print("forks", flush=True)
mine = set(sockets())

def use():
    assert not set(sockets()) & mine, set(sockets()) & mine
    assert client.run(doubling, f"c-{{os.getpid()}}", 4, timeout=20).output == 8
    assert asyncio.run(aio.WorkflowClient(url).count()) > 0

for turn in range(2):
    assert in_child(use, 40) == 7
    assert client.run(doubling, f"after-{{turn}}", 2, timeout=20).output == 4
time.sleep(7)  # a session of the group
assert client.run(doubling, "late", 2, timeout=20).output == 4
print("ends", flush=True)
worker.shutdown()
worker.join()
""",
        tmp_path,
        url(kafka_bootstrap, "fork"),
        limit_s=110,
    )
    between = process.stdout.partition("forks\n")[2].partition("ends\n")[0]
    for trouble in ("partition.claimed", "lost", "rebalanc", "fenced", "Heartbeat"):
        assert trouble not in between, between


@pytest.mark.parametrize(
    "call",
    [
        "client.submit(doubling, 'late', 1, ack='log')",
        "asyncio.run(aio.WorkflowClient(url).submit(doubling, 'late', 1, ack='log'))",
    ],
)
def test_a_first_call_at_exit_looks_up_hosts(
    tmp_path: Path, kafka_bootstrap: str, call: str
) -> None:
    """By name: Python's own pools look up no host any more."""
    bootstrap = kafka_bootstrap.replace("127.0.0.1", "localhost")
    if "asyncio" in call:  # the program's own loop, with Python's own pool
        bootstrap = kafka_bootstrap.replace("localhost", "127.0.0.1")
    process = run_program(
        f"""{CLIENT}
import atexit
client = WorkflowClient(url)
def late():
    {call}
    print("called")
atexit.register(late)
""",
        tmp_path,
        url(bootstrap, "late"),
    )
    assert process.stdout == "called\n"


def test_two_workers_with_one_id_and_one_folder_are_told_of(
    tmp_path: Path, kafka_bootstrap: str
) -> None:
    """Both work, each in a slot of its own."""
    run_program(
        f"""{CLIENT}
from tests.captured_logs import capture_logs

def backend():
    _, _, bootstrap, app = url.split("/")
    return KafkaBackend(bootstrap, app=app, state_dir="state")

with capture_logs() as lines:
    with Worker("twin", backend()).start([doubling]):
        with Worker("twin", backend()).start([doubling]):
            end = time.monotonic() + 40
            while not any(line["event"] == "worker.id_shared" for line in lines):
                assert time.monotonic() < end
                time.sleep(0.05)
            client = WorkflowClient(url)
            for number in range(8):
                assert client.run(doubling, f"i-{{number}}", 1, timeout=30).output == 2
(line,) = [line for line in lines if line["event"] == "worker.id_shared"]
assert line["worker"] == "twin"
assert "--worker-id" in line["reason"]
assert len(os.listdir("state/" + url.split("/")[3])) == 2
""",
        tmp_path,
        url(kafka_bootstrap, "twins"),
        limit_s=110,
    )
