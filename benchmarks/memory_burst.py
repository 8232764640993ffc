"""How much memory a worker takes at a burst of starts with large inputs.

Run `python benchmarks/memory_burst.py [--starts N] [--input-kib K]`. On a real Kafka,
the starts stand on the commands topic when a worker in a process of its own begins to
serve; each instance runs one task. Told are the highest resident memory of the worker
until all have ended, its memory before the first command, and the time.
"""
# ruff: noqa: INP001  # a program, no package

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.engine import flows
from benchmarks.engine.served_log import worker_process
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.clock import SystemClock
from sayiir_es.log.kafka.log import KafkaLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.telemetry import configure_logging
from sayiir_es.wire.events import read_headers
from tests.broker import LocalBroker

AT_ONCE = 16
"""How many records the producer has in flight."""


async def produce(log: KafkaLog, starts: int, input_bytes: int) -> None:
    """Write all starts, each with another input."""

    async def start(number: int) -> None:
        key = f"burst-{number}".encode()
        text = f"{number:x} " * (input_bytes // len(f"{number:x} "))
        body = {
            "command": "StartWorkflow",
            "workflow": flows.COUNT.graph.name,
            "input": text,
        }
        record = NewRecord(key=key, value=json.dumps(body).encode())
        await log.produce(Topic.COMMANDS, partition_of(key, log.partitions), record)

    for begin in range(0, starts, AT_ONCE):
        numbers = range(begin, min(begin + AT_ONCE, starts))
        await asyncio.gather(*(start(number) for number in numbers))


async def until_ended(log: KafkaLog, starts: int) -> None:
    """Wait for the end of every instance, of whichever kind."""
    ended = 0

    async def count(partition: int) -> None:
        nonlocal ended
        reader = await log.reader(Topic.EVENTS, partition, 0)
        while ended < starts:
            chunk = await reader.read(max_wait_s=1)
            for record in () if chunk is None else chunk.records:
                headers = read_headers(record.headers)
                assert headers is not None
                ended += headers.kind == "WorkflowCompleted"
        await reader.close()

    await asyncio.gather(*(count(p) for p in range(log.partitions)))


def memory_mib(pid: int, name: str) -> float:
    """A memory figure of a process, in MiB: `VmRSS` now, `VmHWM` the highest."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


async def prepare(bootstrap: str, app: str, starts: int, input_bytes: int) -> None:
    """Make the app, and write the burst."""
    log = KafkaLog(bootstrap, app=app)
    await log.open(create=True)
    await produce(log, starts, input_bytes)
    await log.close()


async def wait(bootstrap: str, app: str, starts: int) -> None:
    """Wait for the end of the burst."""
    log = KafkaLog(bootstrap, app=app)
    await log.open(create=False)
    await until_ended(log, starts)
    await log.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=10_000)
    parser.add_argument("--input-kib", type=int, default=500)
    options = parser.parse_args()
    configure_logging(level="error")
    app, clock = f"bench-{os.urandom(4).hex()}", SystemClock()
    with ExitStack() as stack:
        bootstrap = os.environ.get("SAYIIR_TEST_KAFKA") or (
            stack.enter_context(LocalBroker()).bootstrap
        )
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        size = options.input_kib * 1024
        asyncio.run(prepare(bootstrap, app, options.starts, size))
        began_s = clock.monotonic_s()
        pid = stack.enter_context(worker_process(f"kafka://{bootstrap}/{app}", folder))
        before = memory_mib(pid, "VmRSS")
        asyncio.run(wait(bootstrap, app, options.starts))
        took_s = clock.monotonic_s() - began_s
        sys.stdout.write(
            f"{options.starts:,} starts with inputs of {options.input_kib:,} KiB\n"
            f"  resident when it serves {before:8,.0f} MiB\n"
            f"  highest resident        {memory_mib(pid, 'VmHWM'):8,.0f} MiB\n"
            f"  all ended after         {took_s:8,.1f} s\n"
        )


if __name__ == "__main__":
    main()
