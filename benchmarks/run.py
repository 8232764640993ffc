"""The engine's figures, embedded and Kafka side by side.

Run `make bench`, or `python -m benchmarks.run --help`. A worker runs as its own
process; a load process (this one) starts instances of a workflow of five steps that do
nothing, and counts one when its `WorkflowCompleted` is seen on the events topic.
Everything is durable as the backend promises: the file is synced before each ack, the
broker acknowledges with `acks=all`.
"""
# ruff: noqa: INP001  # a program, no package

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.console import Console
from rich.table import Table

from benchmarks.engine import stage as stages
from benchmarks.engine.flows import STEPS
from benchmarks.engine.load import Load
from sayiir_es.log.port import NewRecord, Topic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.engine.stage import Stage

WARM_UP_S = 2.0
PRODUCES = 400


Rows = dict[str, float]
"""Figures by the name of their row."""


async def throughput(on: Stage, workflow: str, seconds: float, rows: Rows) -> None:
    """Steps a second with 1,000 in flight, and what they cost."""
    async with Load(on.log, workflow, f"t-{workflow}") as load:
        await load.many(1_000, WARM_UP_S)
        pids = {"worker": (on.worker,), "load": (os.getpid(),), "broker": on.broker}
        before = {name: on.cpu_s(*found) for name, found in pids.items()}
        latencies, took = await load.many(1_000, seconds)
        after = {name: on.cpu_s(*found) for name, found in pids.items()}
        steps = len(latencies) * STEPS
        sort = workflow.removeprefix("bench-")
        rows[f"{sort} steps/s, 1,000 in flight"] = steps / took
        for name, found in pids.items():
            if found:
                cost = (after[name] - before[name]) * 1000 / max(steps, 1)
                rows[f"{sort} CPU ms a step: {name}"] = cost
        rows[f"{sort} workflow p50 ms, 1,000 in flight"] = _ms(latencies, 50)
        if load.failed:
            raise RuntimeError(f"expected no failed workflow, but {load.failed}")


async def latency(on: Stage, in_flight: int, seconds: float, rows: Rows) -> float:
    """Latency of a workflow with so many in flight; p50 in milliseconds."""
    async with Load(on.log, "bench-async", f"l{in_flight}") as load:
        await load.many(in_flight, WARM_UP_S / 2)
        latencies, _ = await load.many(in_flight, seconds)
    name = "alone" if in_flight == 1 else f"{in_flight} in flight"
    rows[f"workflow p50 ms, {name}"] = _ms(latencies, 50)
    rows[f"workflow p99 ms, {name}"] = _ms(latencies, 99)
    return _ms(latencies, 50)


async def yardstick(on: Stage, rows: Rows) -> float:
    """One acknowledged produce on the same log; p50 in milliseconds."""
    record = NewRecord(key=b"yardstick", value=b"{}")
    took: list[float] = []
    for _ in range(PRODUCES):
        began = time.perf_counter()
        await on.log.produce(Topic.DEAD_LETTERS, 0, record)
        took.append(time.perf_counter() - began)
    rows["one acknowledged produce p50 ms"] = _ms(took[50:], 50)
    return _ms(took[50:], 50)


async def measure(on: Stage, seconds: float) -> Rows:
    """All figures of one backend."""
    rows: Rows = {}
    await on.log.open(create=True)
    try:
        produce_ms = await yardstick(on, rows)
        alone_ms = await latency(on, 1, seconds, rows)
        rows["a lone step ms"] = alone_ms / STEPS
        rows["a lone step / one produce"] = alone_ms / STEPS / produce_ms
        await latency(on, 10, seconds, rows)
        await throughput(on, "bench-async", seconds, rows)
        await throughput(on, "bench-sync", seconds, rows)
    finally:
        await on.log.close()
    return rows


def _ms(seconds: Sequence[float], percent: int) -> float:
    if len(seconds) < 2:  # noqa: PLR2004 (quantiles need two)
        return float("nan")
    return statistics.quantiles(seconds, n=100)[percent - 1] * 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each figure")
    parser.add_argument("--partitions", type=int, default=4, help="on Kafka")
    parser.add_argument("--only", choices=["embedded", "kafka"])
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    asked = parser.parse_args()
    found: dict[str, Rows] = {}
    if asked.only != "kafka":
        with stages.embedded() as on:
            found["embedded"] = asyncio.run(measure(on, asked.seconds))
    if asked.only != "embedded":
        with stages.kafka(asked.partitions) as on:
            found["kafka"] = asyncio.run(measure(on, asked.seconds))
    if asked.output == "json":
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return
    table = Table(title=f"five steps, {asked.seconds:g} s a figure")
    table.add_column("figure")
    for name in found:
        table.add_column(name, justify="right")
    for row in next(iter(found.values())) | found.get("kafka", {}):
        cells = [f"{rows[row]:,.3g}" if row in rows else "–" for rows in found.values()]
        table.add_row(row, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
