"""How long a take-over of many instances and overdue timers keeps a partition waiting.

Run `python benchmarks/take_over.py [--instances N] [--timers N]`. On a real Kafka, in
processes of their own, a worker is left with N attempts in flight and N delays on one
partition, and killed; another one, a member of the group already, takes over. Its clock
is beyond the delays. Told are the seconds from its claim to the first outcome and to
the end of the recovery; how often it claimed; and of its process the longest time for
which its event loop did nothing else, and the longest wait for an answer of the group.
"""
# ruff: noqa: INP001  # a program, no package

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.engine.loop_watch import LoopWatch
from sayiir_es import Flow, task
from sayiir_es.client.stores import SlotStores, store_identity
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.clock import SystemClock
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.gc_tuning import collect_young, tune_gc
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import WorkerSettings
from sayiir_es.log.kafka.log import KafkaLog
from sayiir_es.log.kafka.membership import KafkaMembership
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.telemetry import configure_logging
from sayiir_es.wire.events import read_headers
from tests.broker import LocalBroker

if TYPE_CHECKING:
    from collections.abc import Generator

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.engine.store.port import SnapshotStore

HOUR_MS = 3_600_000
SESSION_MS = 6_000
SLOTS = 64
EVENTS_EACH = 2
"""Of an instance that waits: its start, and its attempt's or its delay's."""


class LaterClock(SystemClock):
    """A clock that is two hours ahead."""

    def now_ms(self) -> int:
        """Wall time, in milliseconds since the Unix epoch."""
        return super().now_ms() + 2 * HOUR_MS


def held(*, ends: bool) -> Workflow:
    """A task that never ends under the first worker, and at once under the second."""

    @task("held")
    async def run(_: object) -> None:
        if not ends:
            await asyncio.Event().wait()

    return Flow("held").then(run).build()


SLEEPS = Flow("sleeps").delay("nap", "1h").build()


async def serve(
    bootstrap: str, app: str, folder: Path, *, ends: bool, slots: int
) -> None:
    """Be a worker until standard input ends, then tell about its event loop."""
    name = "second" if ends else "first"
    log = KafkaLog(
        bootstrap, app=app, session_timeout_ms=SESSION_MS, heartbeat_interval_ms=1_000
    )
    identity = await log.open(create=False)
    stores = SlotStores(folder / name, app)
    stores.prepare()

    async def open_store(partition: int) -> SnapshotStore:
        return stores.open(store_identity(identity, partition))

    membership = KafkaMembership(log)
    engine = WorkerEngine(
        ports=Ports(
            log=log,
            clock=LaterClock() if ends else SystemClock(),
            executor=LocalExecutor(slots, worker_id=name),
            registry=Registry(),
        ),
        membership=membership,
        open_store=open_store,
        settings=WorkerSettings(
            worker_id=name, incarnation=os.urandom(4).hex(), build="bench"
        ),
    )
    await engine.start([held(ends=ends), SLEEPS])
    tune_gc()  # as a worker's process does
    collecting = asyncio.create_task(collect_young())
    watch = LoopWatch(membership)
    watching = asyncio.create_task(watch.run())
    sys.stdout.write("member\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    watching.cancel()
    collecting.cancel()
    sys.stdout.write(json.dumps(watch.figures()) + "\n")
    sys.stdout.flush()


class Process:
    """A worker in a process of its own, which is a member when this returns."""

    def __init__(self, bootstrap: str, app: str, folder: str, role: str) -> None:
        self._log = Path(folder) / f"{role}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(  # noqa: S603 (ourselves)
                [sys.executable, __file__, "--serve", role, bootstrap, app, folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "member\n":
            reason = self._log.read_text()
            raise RuntimeError(f"expected the {role} worker to join, but: {reason}")

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._process.kill()
        self._process.wait()

    def logged(self, event: str) -> int:
        """How often it has logged an event."""
        return self._log.read_text().count(f'"{event}"')

    def figures(self) -> dict[str, float]:
        """End it, and return what it tells about its event loop."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        figures: dict[str, float] = json.loads(self._process.stdout.readline())
        return figures


@contextmanager
def broker() -> Generator[str]:
    """The address of a broker: a new one, or that which the environment names."""
    with ExitStack() as stack:
        yield os.environ.get("SAYIIR_TEST_KAFKA") or (
            stack.enter_context(LocalBroker()).bootstrap
        )


async def run(bootstrap: str, folder: str, instances: int, timers: int) -> None:
    """Measure and print."""
    app = f"bench-{os.urandom(4).hex()}"
    log = KafkaLog(bootstrap, app=app, partitions=1)
    await log.open(create=True)
    first = await asyncio.to_thread(Process, bootstrap, app, folder, "first")
    second = await asyncio.to_thread(Process, bootstrap, app, folder, "second")
    for workflow, count in (("held", instances), ("sleeps", timers)):
        for begin in range(0, count, 1_000):
            numbers = range(begin, min(begin + 1_000, count))
            await asyncio.gather(*(_start(log, workflow, n) for n in numbers))
    expected = EVENTS_EACH * (instances + timers)
    while (  # noqa: ASYNC110 (another process writes it)
        end := await log.end_offset(Topic.EVENTS, 0)
    ) < expected:
        await asyncio.sleep(0.1)
    first.kill()
    try:
        await _report(log, end, instances + timers)
    finally:
        figures = await asyncio.to_thread(second.figures)
        second.kill()
        await log.close()
    sys.stdout.write(
        f"  longest stall         {figures['stall_ms']:8,.0f} ms, of which "
        f"{figures['stall_cpu_ms']:,.0f} ms were its own\n"
        f"  stalls above 20 ms    {figures['stalls']:8,.0f}\n"
        f"  longest heartbeat gap {figures['heartbeat_gap_ms']:8,.0f} ms\n"
        f"  lapses                {figures['lapses']:8,.0f}\n"
        f"  claims                {second.logged('partition.claimed'):8,}\n"
    )


async def _start(log: KafkaLog, workflow: str, number: int) -> None:
    body = {"command": "StartWorkflow", "workflow": workflow}
    key = f"{workflow}-{number}".encode()
    await log.produce(
        Topic.COMMANDS, 0, NewRecord(key=key, value=json.dumps(body).encode())
    )


async def _report(log: KafkaLog, begin: int, ends: int) -> None:
    reader = await log.reader(Topic.EVENTS, 0, begin)
    killed_s = SystemClock().now_ms() / 1000
    claimed_s = first_s = last_s = 0.0
    while ends:
        chunk = await reader.read(max_wait_s=1)
        for record in () if chunk is None else chunk.records:
            headers = read_headers(record.headers)
            assert headers is not None
            last_s = record.timestamp_ms / 1000
            if headers.kind == "PartitionClaimed" and not claimed_s:
                claimed_s = last_s
            if headers.kind == "TaskCompleted" and not first_s:
                first_s = last_s
            ends -= headers.kind == "WorkflowCompleted"
    await reader.close()
    sys.stdout.write(
        f"  claimed after         {claimed_s - killed_s:8,.2f} s\n"
        f"  first outcome after   {first_s - claimed_s:8,.2f} s\n"
        f"  all decided after     {last_s - claimed_s:8,.2f} s\n"
    )


def main() -> None:
    """Measure and print; with `--serve` be one of the workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=50_000)
    parser.add_argument("--timers", type=int, default=50_000)
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    configure_logging(level="info" if options.serve else "error", format="json")
    if options.serve:
        role, bootstrap, app, folder = options.serve
        ends = role == "second"
        slots = SLOTS if ends else options.instances
        asyncio.run(serve(bootstrap, app, Path(folder), ends=ends, slots=slots))
        return
    sys.stdout.write(
        f"take-over of {options.instances:,} attempts in flight and "
        f"{options.timers:,} overdue timers\n"
    )
    with broker() as bootstrap, tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(bootstrap, folder, options.instances, options.timers))


if __name__ == "__main__":
    main()
