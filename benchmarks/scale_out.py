"""How long a partition stands still when a worker with an empty state folder joins.

Run `python benchmarks/scale_out.py [--events N] [--partitions P]`. On a real Kafka each
partition has so many events, copies of one real run. A worker serves them all, and a
few instances are started every second. Then another worker joins, folds what it is to
own, and owns its share. Told are the seconds until then, and the longest time for which
a partition got no event.
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
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.engine import flows
from benchmarks.engine.filled_log import fill
from benchmarks.engine.history import record_run, workflow
from benchmarks.engine.served_log import ROOT
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.clock import SystemClock
from sayiir_es.engine.definitions.feed import DefinitionFeed
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.log.kafka.log import KafkaLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.telemetry import configure_logging
from sayiir_es.wire.events import decode_event
from tests.broker import LocalBroker

STARTS_A_SECOND = 20
"""Of each partition."""

AFTER_S = 5.0
"""How long the load goes on when the second worker owns its share."""


class Worker:
    """A worker process, with a state folder of its own."""

    def __init__(self, url: str, folder: str, name: str) -> None:
        self.url = url
        self.log = Path(folder) / f"{name}.log"
        self._env = {**os.environ, "SAYIIR_STATE_DIR": f"{folder}/{name}"}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; returns at once."""
        with self.log.open("w") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.engine.worker", self.url, "info"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
                cwd=ROOT,
                env=self._env,
            )

    async def until_claimed(self, count: int) -> None:
        """Wait until it owns so many partitions."""
        while self.log.read_text().count('"partition.claimed"') < count:
            assert self._process is not None
            if self._process.returncode is not None:
                raise RuntimeError(self.log.read_text())
            await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """End it, and wait."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()


async def load(log: KafkaLog) -> None:
    """Start instances evenly on all partitions, for ever."""
    number = 0
    while True:
        for _ in range(log.partitions):
            number += 1
            key = f"load-{number}".encode()
            body = {"command": "StartWorkflow", "workflow": flows.ASYNC.graph.name}
            await log.produce(
                Topic.COMMANDS,
                partition_of(key, log.partitions),
                NewRecord(key=key, value=json.dumps(body).encode()),
            )
        await asyncio.sleep(1 / STARTS_A_SECOND)


async def pauses(log: KafkaLog, partition: int, begin: int) -> tuple[float, list[str]]:
    """The longest time without an event behind `begin`, in seconds, and who claimed."""
    end = await log.end_offset(Topic.EVENTS, partition)
    reader = await log.reader(Topic.EVENTS, partition, begin)
    times, owners = list[int](), list[str]()
    while begin < end:
        chunk = await reader.read(max_wait_s=1)
        for record in () if chunk is None else chunk.records:
            begin = record.offset + 1
            event = decode_event(record.value or b"")
            times.append(record.timestamp_ms)
            if event.kind == "PartitionClaimed":
                owners.append(event.body.owner)  # type: ignore[attr-defined]
    await reader.close()
    return max(b - a for a, b in pairwise(times)) / 1000, owners


async def measure(bootstrap: str, folder: str, partitions: int, events: int) -> None:
    """Measure and print."""
    app, clock = f"bench-{os.urandom(4).hex()}", SystemClock()
    log = KafkaLog(bootstrap, app=app, partitions=partitions)
    await log.open(create=True)
    run = await asyncio.to_thread(record_run, workflow())
    definitions = DefinitionFeed(log, Registry())
    await definitions.publish(workflow(), deployed=False)
    await definitions.close()
    for partition in range(partitions):
        await fill(log, partition, run, events)
    url = f"kafka://{bootstrap}/{app}"
    first, second = Worker(url, folder, "first"), Worker(url, folder, "second")
    async with asyncio.TaskGroup() as tasks:
        await first.start()
        await first.until_claimed(partitions)
        loading = tasks.create_task(load(log))
        await asyncio.sleep(AFTER_S)
        begins = [await log.end_offset(Topic.EVENTS, p) for p in range(partitions)]
        began_s = clock.monotonic_s()
        await second.start()
        await second.until_claimed(partitions // 2)
        took_s = clock.monotonic_s() - began_s
        await asyncio.sleep(AFTER_S)
        loading.cancel()
    for partition, begin in enumerate(begins):
        pause_s, owners = await pauses(log, partition, begin)
        sys.stdout.write(
            f"  partition {partition}: longest pause {pause_s:6,.2f} s; claims "
            f"{len(owners)}\n"
        )
    sys.stdout.write(f"  the second worker owns its share after {took_s:,.1f} s\n")
    await asyncio.gather(first.stop(), second.stop())
    await log.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--partitions", type=int, default=2)
    options = parser.parse_args()
    configure_logging(level="error")
    sys.stdout.write(
        f"a worker joins one that serves {options.partitions} partitions of "
        f"{options.events:,} events\n"
    )
    with ExitStack() as stack:
        bootstrap = os.environ.get("SAYIIR_TEST_KAFKA") or (
            stack.enter_context(LocalBroker()).bootstrap
        )
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        asyncio.run(measure(bootstrap, folder, options.partitions, options.events))


if __name__ == "__main__":
    main()
