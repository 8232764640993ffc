"""What audits of a long log cost: a million events of 20,000 instances.

Run `python benchmarks/audit.py [--instances N] [--only embedded|kafka]`. The log is
written once, as one owner of each partition would have; then each command of a person
runs as they would run it, in a process of its own. Wall clock, with the start of Python
and of the client; memory is the peak of that process.
"""
# ruff: noqa: INP001  # a program, no package

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.engine.history import (
    claimed,
    copies,
    instance_of,
    record,
    record_run,
    workflow,
)
from benchmarks.engine.served_log import create
from sayiir_es.client.backends import EmbeddedBackend, KafkaBackend
from sayiir_es.core.graph.record import record_of_graph
from sayiir_es.core.partitions import partition_of
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.telemetry import configure_logging
from tests.broker import LocalBroker

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from sayiir_es.client.backends import Backend
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.model.events import Event
    from sayiir_es.log.port import Appender, Log

MORE_STEPS = 14
"""Fifty events an instance."""

PER_BATCH = 500
COMMANDS_AT_ONCE = 500


class Writer:
    """Writes the history to a log, each instance to its partition.

    `count` is how many events it has written.
    """

    def __init__(self, log: Log, bench_workflow: Workflow, instances: int) -> None:
        self._log = log
        self._graph = bench_workflow.graph
        self._events = record_run(bench_workflow)
        self._instances = instances
        self._homes: dict[str, int] = {}
        self._starts: list[str] = []
        self._batches: dict[int, list[NewRecord]] = defaultdict(list)
        self._appenders: dict[int, Appender] = {}
        self.count = 0

    async def write(self) -> None:
        """Write the definition, the commands, and all that they led to."""
        graph = self._graph
        await self._log.open(create=True)
        await self._log.produce(
            Topic.DEFINITIONS,
            0,
            NewRecord(key=graph.digest.encode(), value=record_of_graph(graph)),
        )
        await self._command()
        events = self._events
        for partition in range(self._log.partitions):
            self._appenders[partition] = await self._log.appender(partition)
            await self._take(partition, claimed(events[0].at))
        for event in copies(events, self._instances, self._starts.__getitem__):
            await self._take(self._homes[event.instance_id], event)
        for partition in self._batches:
            await self._append(partition)
        await self._log.close()

    async def _command(self) -> None:
        """Write the starts, which have nothing that their answers do not have."""
        offsets: dict[int, int] = defaultdict(int)
        commands: list[tuple[int, NewRecord]] = []
        for number in range(self._instances):
            key = instance_of(number).encode()
            home = self._homes[key.decode()] = partition_of(key, self._log.partitions)
            self._starts.append(f"command:{home}@{offsets[home]}")
            offsets[home] += 1
            value = b'{"command":"StartWorkflow","workflow":"orders","input":1}'
            commands.append((home, NewRecord(key=key, value=value)))
        for first in range(0, len(commands), COMMANDS_AT_ONCE):
            await asyncio.gather(
                *(
                    self._log.produce(Topic.COMMANDS, home, record_to_send)
                    for home, record_to_send in commands[
                        first : first + COMMANDS_AT_ONCE
                    ]
                )
            )

    async def _take(self, partition: int, event: Event) -> None:
        event_record = record(0, event)
        batch = self._batches[partition]
        batch.append(
            NewRecord(
                key=event_record.key,
                value=event_record.value,
                headers=event_record.headers,
            )
        )
        self.count += 1
        if len(batch) >= PER_BATCH:
            await self._append(partition)

    async def _append(self, partition: int) -> None:
        batch, self._batches[partition] = self._batches[partition], []
        if batch:
            await self._appenders[partition].append(batch)


def spent(url: str, folder: Path, arguments: list[str]) -> tuple[float, float]:
    """Wall clock seconds and MB of a command; its own state is in the folder.

    Raises:
        RuntimeError: if it does not end with 0.
    """
    environment = os.environ | {"SAYIIR_STATE_DIR": str(folder / "state")}
    environment |= {"SAYIIR_BACKEND": url, "SAYIIR_LOG_LEVEL": "error"}
    began = time.monotonic()
    process = subprocess.Popen(  # noqa: S603 (our own command)
        [sys.executable, "-m", "sayiir_es.cli", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
    )
    assert process.stderr is not None
    errors = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"expected {arguments} to end with 0, but: {errors}")
    return time.monotonic() - began, usage.ru_maxrss / 1024


def figures_of(
    url: str, folder: Path, instances: int, partitions: int
) -> Iterator[tuple[str, str]]:
    """What each command costs."""
    ids = [instance_of(number) for number in (instances // 2, instances - 1)]
    commands = {
        "instance history": f"instance history {ids[0]}",
        "instance state --at": f"instance state {ids[0]} --at 25",
        "instance state, the last one": f"instance state {ids[1]}",
        "instance diff": f"instance diff {ids[0]} 10 40",
        "audit replay": f"audit replay {ids[0]}",
        "instance list, first (folds all)": "instance list --limit 10",
        "instance list, again": "instance list --limit 10",
        "audit verify": "audit verify",
        "audit verify --instance": f"audit verify --instance {ids[0]}",
        "audit export (avro)": f"audit export {folder}/copy",
        "audit export (jsonl)": f"audit export {folder}/lines --format jsonl",
        "audit export (parquet)": f"audit export {folder}/columns --format parquet",
        "audit verify of the export": f"audit verify {folder}/copy",
        "topic create": f"topic create --partitions {partitions} --backend {url}-copy",
        "audit import": f"audit import {folder}/copy --backend {url}-copy",
    }
    for name, arguments in commands.items():
        seconds, megabytes = spent(url, folder, arguments.split())
        yield name, f"{seconds:8.2f} s {megabytes:8.0f} MB"


@contextmanager
def backends(only: str | None, partitions: int) -> Generator[dict[str, Backend]]:
    """The logs to write, by name."""
    with ExitStack() as stack:
        backends_by_name: dict[str, Backend] = {}
        if only != "kafka":
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            backends_by_name["embedded"] = EmbeddedBackend(f"{folder}/log.db")
        if only != "embedded":
            servers = os.environ.get("SAYIIR_TEST_KAFKA")
            if not servers:
                servers = stack.enter_context(LocalBroker()).bootstrap
            app = f"audit-{os.getpid()}"
            asyncio.run(create(servers, app, partitions))
            backends_by_name["kafka"] = KafkaBackend(servers, app=app)
        yield backends_by_name


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--instances", type=int, default=20_000)
    parser.add_argument("--partitions", type=int, default=8, help="on Kafka (8)")
    parser.add_argument("--only", choices=["embedded", "kafka"])
    options = parser.parse_args()
    configure_logging(level="error")
    bench_workflow = workflow(MORE_STEPS)
    with backends(options.only, options.partitions) as backends_by_name:
        for name, backend in backends_by_name.items():
            log = backend.open_log()
            writer = Writer(log, bench_workflow, options.instances)
            began = time.monotonic()
            asyncio.run(writer.write())
            sys.stdout.write(
                f"{name}: {writer.count:,} events of {options.instances:,} instances, "
                f"written in {time.monotonic() - began:.0f} s\n"
            )
            folder = Path(tempfile.mkdtemp(prefix="sayiir-bench-"))
            try:
                for what, cost in figures_of(
                    backend.url, folder, options.instances, log.partitions
                ):
                    sys.stdout.write(f"  {what:<34}{cost}\n")
                    sys.stdout.flush()
            finally:
                shutil.rmtree(folder)


if __name__ == "__main__":
    main()
