"""What the first call of a new process costs behind a long history.

Run `python benchmarks/first_status.py [--events N …]`. On a real Kafka one partition
has so many events, copies of one real run, and a worker that serves it. Then processes
begin, one after the other: each asks for the status of one instance, as a program does
that has just started, and tells how long the call took and its highest resident memory.
The same is told of the command line, from its start to its end.
"""
# ruff: noqa: INP001  # a program, no package

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.engine.filled_log import fill
from benchmarks.engine.history import instance_of, record_run, workflow
from benchmarks.engine.served_log import ROOT, worker_process
from sayiir_es.engine.definitions.feed import DefinitionFeed
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.log.kafka.log import KafkaLog
from sayiir_es.telemetry import configure_logging
from tests.broker import LocalBroker

CALLS = 5

PROGRAM = """
import sys, time
from pathlib import Path
from sayiir_es import WorkflowClient
began = time.perf_counter()
status = WorkflowClient(sys.argv[1]).status(sys.argv[2])
took_ms = (time.perf_counter() - began) * 1000
lines = Path("/proc/self/status").read_text().splitlines()
highest = next(line for line in lines if line.startswith("VmHWM"))
print(took_ms, int(highest.split()[1]) / 1024, status.status)
"""
"""Not `ru_maxrss`: that of a child begins with its parent's memory."""


async def prepare(bootstrap: str, app: str, events: int) -> None:
    """Make the topics of an app, and fill its one partition."""
    log = KafkaLog(bootstrap, app=app, partitions=1)
    await log.open(create=True)
    run = await asyncio.to_thread(record_run, workflow())
    definitions = DefinitionFeed(log, Registry())
    await definitions.publish(workflow(), deployed=False)
    await definitions.close()
    await fill(log, 0, run, max(events, 2 * len(run)))
    await log.close()


def of_program(url: str, instance_id: str) -> tuple[float, float]:
    """Milliseconds and MiB of a first call."""
    done = subprocess.run(  # noqa: S603 (our own program)
        [sys.executable, "-c", PROGRAM, url, instance_id],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    took_ms, memory_mib, _ = done.stdout.split()
    return float(took_ms), float(memory_mib)


def of_command(url: str, instance_id: str) -> float:
    """Milliseconds of `instance show`, its start included."""
    began = time.perf_counter()
    subprocess.run(  # noqa: S603 (our own program)
        [
            *(sys.executable, "-m", "sayiir_es.cli", "instance", "show", instance_id),
            *("--backend", url, "-o", "json"),
        ],
        capture_output=True,
        check=True,
        cwd=ROOT,
    )
    return (time.perf_counter() - began) * 1000


def measure(bootstrap: str, folder: str, events: int) -> None:
    """Measure and print for one length of history."""
    app = f"bench-{os.urandom(4).hex()}"
    asyncio.run(prepare(bootstrap, app, events))
    url = f"kafka://{bootstrap}/{app}"
    with worker_process(url, f"{folder}/{app}"):
        calls = [of_program(url, instance_of(0)) for _ in range(CALLS)]
        commands = [of_command(url, instance_of(1)) for _ in range(CALLS)]
    sys.stdout.write(
        f"  {events:>10,} events: status {median(ms for ms, _ in calls):6,.0f} ms, "
        f"highest memory {max(mib for _, mib in calls):4,.0f} MiB; instance show "
        f"{median(commands):6,.0f} ms\n"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[0, 1_000_000])
    options = parser.parse_args()
    configure_logging(level="error")
    with ExitStack() as stack:
        broker = stack.enter_context(LocalBroker())
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        sys.stdout.write("the first call of a new process\n")
        for events in options.events:
            measure(broker.bootstrap, folder, events)


if __name__ == "__main__":
    main()
