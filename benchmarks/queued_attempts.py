"""What attempts cost in memory while they queue for a slot.

Run `python benchmarks/queued_attempts.py [--attempts N] [--input-bytes B]`. Instances
of a fork of a thousand branches each come to attempts whose input, joined of two
values, takes so many bytes; two of them run and never end, the others queue. The same
program runs twice in processes of its own: once on a worker that has the code, once on
one that lacks it and queues nothing. The difference is what the attempts take.

It measures a worker's engine on a log in memory, not a client: what is queued is the
same on every log, and no log's own memory differs between the two runs.
"""
# ruff: noqa: INP001  # a program, no package

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from sayiir_es import Flow, task
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.clock import SystemClock
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import WorkerSettings
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.log.solo import SoloMembership
from sayiir_es.telemetry import configure_logging

if TYPE_CHECKING:
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.engine.store.port import SnapshotStore

BRANCHES = 1_000
SLOTS = 2
MIB = 1024 * 1024
EVENTS_A_BRANCH = 8
"""ForkStarted, two delays that start and elapse, two branches, PositionUpdated."""


@task(tags=["heavy"])
async def hold(_: object) -> None:
    """Never ends."""
    await asyncio.Event().wait()


async def count(results: dict[str, object]) -> int:
    """Never runs."""
    return len(results)


def queued() -> Workflow:
    """A fork whose branches end in attempts with a joined input."""
    fork = Flow("queued").fork()
    for number in range(BRANCHES):
        halves = Flow("halves").fork()
        for name in ("left", "right"):
            halves = halves.branch(Flow(name).delay(name, 0))
        fork = fork.branch(halves.join(hold), name=f"b{number}")
    return fork.join(count).build()


def resident_mib() -> float:
    """The memory of this process, in MiB."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


async def run(attempts: int, input_bytes: int, *, has_code: bool) -> dict[str, float]:
    """Queue so many attempts; memory in MiB."""
    log, store = MemoryLog(), MemoryStore()
    executor = LocalExecutor(SLOTS, worker_id="w")

    async def open_store(_: int) -> SnapshotStore:
        return store

    engine = WorkerEngine(
        ports=Ports(
            log=log,
            clock=SystemClock(),
            executor=executor,
            registry=Registry(tags=frozenset(["heavy" if has_code else "light"])),
        ),
        membership=SoloMembership(log.owner_lock(), partitions=log.partitions),
        open_store=open_store,
        settings=WorkerSettings(worker_id="w", incarnation="w", build="bench"),
    )
    await log.open(create=True)
    await engine.start([queued()])
    instances = attempts // BRANCHES
    begin = time.monotonic()
    for number in range(instances):
        value = f"{number:x}" * (input_bytes // 2 // len(f"{number:x}"))
        body = {"command": "StartWorkflow", "workflow": "queued", "input": value}
        record = NewRecord(key=b"i%d" % number, value=json.dumps(body).encode())
        await log.produce(Topic.COMMANDS, 0, record)
    expected = instances * BRANCHES * EVENTS_A_BRANCH
    while await log.end_offset(Topic.EVENTS, 0) < expected:  # noqa: ASYNC110
        await asyncio.sleep(0.2)
    took = time.monotonic() - begin
    await engine.wait_until_settled()
    gc.collect()
    slots = len(executor.running())
    await engine.stop(drain=False)
    return {"mib": resident_mib(), "seconds": took, "running": slots}


def measured(attempts: int, input_bytes: int, *, has_code: bool) -> dict[str, float]:
    """The same, in a process of its own."""
    command = [sys.executable, __file__, "--attempts", str(attempts)]
    command += ["--input-bytes", str(input_bytes), "--only"]
    command += ["queued" if has_code else "none"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 (ourselves)
    figures: dict[str, float] = json.loads(printed.stdout)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=100_000)
    parser.add_argument("--input-bytes", type=int, default=100 * 1024)
    parser.add_argument("--only", choices=["queued", "none"], help="in this process")
    options = parser.parse_args()
    configure_logging(level="error")
    attempts, size = options.attempts, options.input_bytes
    if options.only:
        has_code = options.only == "queued"
        sys.stdout.write(
            json.dumps(asyncio.run(run(attempts, size, has_code=has_code)))
        )
        return
    none = measured(attempts, size, has_code=False)
    some = measured(attempts, size, has_code=True)
    inputs = attempts * size / MIB
    sys.stdout.write(
        f"{attempts:,} attempts with inputs of {size / 1024:,.0f} KiB "
        f"({inputs:,.0f} MiB in all)\n"
        f"  no attempt queued    {none['mib']:8,.0f} MiB\n"
        f"  all of them queued   {some['mib']:8,.0f} MiB\n"
        f"  what they take       {some['mib'] - none['mib']:8,.0f} MiB\n"
        f"  queued in            {some['seconds']:8,.1f} s\n"
    )


if __name__ == "__main__":
    main()
