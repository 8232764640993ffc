"""How long a take-over of many instances and overdue timers keeps a partition waiting.

Run `python benchmarks/take_over.py [--instances N] [--timers N]`. A worker
is left with N attempts in flight and N delays; both clocks of the next worker are
beyond the delays. Told are the seconds from its claim to the first outcome, to the end
of the recovery, and the longest time for which its event loop did nothing else.
"""
# ruff: noqa: INP001  # a program, no package

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from sayiir_es import Flow, task
from sayiir_es.core.model.events import PartitionClaimed
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.clock import SystemClock
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.gc_tuning import tune_gc
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.store.port import StoreIdentity
from sayiir_es.engine.store.rocks.store import RocksStore
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import WorkerSettings
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.log.solo import SoloMembership
from sayiir_es.telemetry import configure_logging
from sayiir_es.wire.events import decode_event

if TYPE_CHECKING:
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.engine.store.port import SnapshotStore

HOUR_MS = 3_600_000


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


async def worker(
    log: MemoryLog, folder: Path, clock: SystemClock, *, ends: bool
) -> WorkerEngine:
    """A worker with a store in a folder."""
    name = "second" if ends else "first"
    identity = StoreIdentity(
        cluster_id="c", events_topic_id="e", partition=0, partitions=1
    )

    async def open_store(_: int) -> SnapshotStore:
        return RocksStore.open(folder / name, identity)

    engine = WorkerEngine(
        ports=Ports(
            log=log,
            clock=clock,
            executor=LocalExecutor(100, worker_id=name),
            registry=Registry(),
        ),
        membership=SoloMembership(log.owner_lock(), partitions=log.partitions),
        open_store=open_store,
        settings=WorkerSettings(worker_id=name, incarnation=name, build="bench"),
    )
    await engine.start([held(ends=ends), SLEEPS])
    return engine


async def grown_to(log: MemoryLog, end: int) -> None:
    """Wait for so many events."""
    while await log.end_offset(Topic.EVENTS, 0) < end:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


class Watch:
    """The longest time between two turns of the event loop.

    By the processor time of its thread, too: other programs do not count there.
    """

    def __init__(self) -> None:
        self.longest_s = self.longest_cpu_s = 0.0

    async def run(self) -> None:
        """Look at the clocks at each turn."""
        before_s, cpu_s = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(0)
            after_s, after_cpu_s = time.perf_counter(), time.thread_time()
            self.longest_s = max(self.longest_s, after_s - before_s)
            self.longest_cpu_s = max(self.longest_cpu_s, after_cpu_s - cpu_s)
            before_s, cpu_s = after_s, after_cpu_s


async def run(instances: int, timers: int) -> None:
    """Measure and print."""
    log = MemoryLog()
    await log.open(create=True)
    with tempfile.TemporaryDirectory() as folder:
        first = await worker(log, Path(folder), SystemClock(), ends=False)
        for workflow, count in (("held", instances), ("sleeps", timers)):
            for number in range(count):
                body = {"command": "StartWorkflow", "workflow": workflow}
                key = f"{workflow}-{number}".encode()
                record = NewRecord(key=key, value=json.dumps(body).encode())
                await log.produce(Topic.COMMANDS, 0, record)
        await grown_to(log, 2 * instances + 2 * timers)
        await first.stop(drain=False)
        end = await log.end_offset(Topic.EVENTS, 0)
        tune_gc()  # as a worker's process does
        watch = Watch()
        watching = asyncio.create_task(watch.run())
        second = await worker(log, Path(folder), LaterClock(), ends=True)
        await _report(log, end, instances + timers)
        watching.cancel()
        sys.stdout.write(
            f"  longest stall         {watch.longest_s * 1000:8,.0f} ms, of which "
            f"{watch.longest_cpu_s * 1000:,.0f} ms were its own\n"
        )
        await second.stop(drain=False)


async def _report(log: MemoryLog, begin: int, ends: int) -> None:
    reader = await log.reader(Topic.EVENTS, 0, begin)
    claimed_s = first_s = 0.0
    while ends:
        chunk = await reader.read(max_wait_s=1)
        for record in () if chunk is None else chunk.records:
            event = decode_event(record.value or b"")
            if isinstance(event.body, PartitionClaimed) and not claimed_s:
                claimed_s = time.perf_counter()
            if event.kind == "TaskCompleted" and not first_s:
                first_s = time.perf_counter()
            ends -= event.kind == "WorkflowCompleted"
        await asyncio.sleep(0)
    ended_s = time.perf_counter()
    sys.stdout.write(
        f"  first outcome after   {first_s - claimed_s:8,.2f} s\n"
        f"  all decided after     {ended_s - claimed_s:8,.2f} s\n"
    )
    await reader.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=50_000)
    parser.add_argument("--timers", type=int, default=50_000)
    options = parser.parse_args()
    configure_logging(level="error")
    sys.stdout.write(
        f"take-over of {options.instances:,} attempts in flight and "
        f"{options.timers:,} overdue timers\n"
    )
    asyncio.run(run(options.instances, options.timers))


if __name__ == "__main__":
    main()
