"""Attempts elsewhere on a real Kafka: steps a second, CPU a step, a lone run.

    python benchmarks/remote.py localhost:9092 --instances 10000 --executors 2

One worker process decides, the executors are `sayiir-es executor run`, each a process
of its own. A lone run is start, one remote step and the told end. Prints one JSON
object.
"""

# ruff: noqa: INP001, T201, ASYNC110  # a program, no package

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from sayiir_es import Flow, task
from sayiir_es.aio import WorkflowClient

LIMIT_S = 300.0
MODULE = "remote"
"""This file: the processes find it beside themselves."""


@task(execute="remote")
async def nothing(value: int) -> int:
    """A step that does nothing."""
    return value


no_op = Flow[int, int]("no-op").then(nothing).build()


def _command(kind: str, url: str, slots: int) -> list[str]:
    line = [sys.executable, "-m", "sayiir_es.cli", kind, "run", MODULE]
    return [*line, "--backend", url, "--max-concurrent-tasks", str(slots)]


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    """The CPU time of a process so far, in seconds."""
    stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8")
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _measure(
    url: str, instances: int, processes: list[subprocess.Popen[bytes]]
) -> dict[str, float]:
    async with WorkflowClient(url) as client:
        await client.run(no_op, "first", 0, timeout=LIMIT_S)
        lone: list[float] = []
        for number in range(200):
            begun = time.perf_counter()
            await client.run(no_op, f"lone-{number}", number, timeout=LIMIT_S)
            lone.append(time.perf_counter() - begun)
        before = [cpu_s(process) for process in processes]
        begun = time.perf_counter()
        await client.submit_many(
            no_op, [(f"many-{number}", number) for number in range(instances)]
        )
        while (await client.count(status="completed")) < instances + 201:
            await asyncio.sleep(0.1)
        took_s = time.perf_counter() - begun
        used = [
            cpu_s(process) - at for process, at in zip(processes, before, strict=True)
        ]
    return {
        "steps_per_s": instances / took_s,
        "worker_cpu_ms_per_step": used[0] * 1000 / instances,
        "executors_cpu_ms_per_step": sum(used[1:]) * 1000 / instances,
        "lone_run_p50_ms": statistics.median(lone) * 1000,
        "lone_run_p99_ms": sorted(lone)[int(len(lone) * 0.99)] * 1000,
    }


def main() -> None:
    """Start the processes, measure, print, and end them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap")
    parser.add_argument("--instances", type=int, default=10_000)
    parser.add_argument("--executors", type=int, default=2)
    parser.add_argument("--slots", type=int, default=256)
    options = parser.parse_args()
    url = f"kafka://{options.bootstrap}/bench-{secrets.token_hex(4)}"
    kinds = ["worker"] + ["executor"] * options.executors
    here = Path(__file__).parent
    path = os.pathsep.join((str(here), str(here.parent)))
    processes = [
        subprocess.Popen(  # noqa: S603 (our own)
            _command(kind, url, options.slots), env={**os.environ, "PYTHONPATH": path}
        )
        for kind in kinds
    ]
    try:
        print(json.dumps(asyncio.run(_measure(url, options.instances, processes))))
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


if __name__ == "__main__":
    main()
