"""Attempts elsewhere on a real Kafka: steps a second, CPU a step, a lone run.

    python benchmarks/remote.py --steps 10000 --executors 2

Worker processes decide, the executors are `sayiir-es executor run`, each a process of
its own; the broker is started here, or is the one that `SAYIIR_TEST_KAFKA` names. The
same number of steps is run twice: in instances of one step, and in instances of five. A
lone run is start, one remote step and the told end. Prints one JSON object.
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
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.engine.served_log import create
from sayiir_es import Flow, task
from sayiir_es.aio import WorkflowClient
from tests.broker import LocalBroker

LIMIT_S = 300.0
LONE = 200
MODULE = "remote"
"""This file: the processes find it beside themselves."""


@task(execute="remote")
async def nothing(value: int) -> int:
    """A step that does nothing."""
    return value


CHAIN = 5
"""So many steps has the longer workflow."""

one_step = Flow[int, int]("one-step").then(nothing).build()
_flow = Flow[int, int]("five-steps")
for _name in range(CHAIN):
    _flow = _flow.then(nothing, name=f"s{_name}")
five_steps = _flow.build()


def _command(kind: str, url: str, slots: int) -> list[str]:
    line = [sys.executable, "-m", "sayiir_es.cli", kind, "run", MODULE]
    return [*line, "--backend", url, "--max-concurrent-tasks", str(slots)]


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    """The CPU time of a process so far, in seconds."""
    stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8")
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _measure(
    url: str, steps: int, processes: list[subprocess.Popen[bytes]], workers: int
) -> dict[str, float]:
    async with WorkflowClient(url) as client:
        await client.run(one_step, "first", 0, timeout=LIMIT_S)
        lone: list[float] = []
        for number in range(LONE):
            begun = time.perf_counter()
            await client.run(one_step, f"lone-{number}", number, timeout=LIMIT_S)
            lone.append(time.perf_counter() - begun)
        figures: dict[str, float] = {}
        for workflow, name, each in (
            (one_step, "one-step", 1),
            (five_steps, "five-steps", CHAIN),
        ):
            instances = steps // each
            before = [cpu_s(process) for process in processes]
            begun = time.perf_counter()
            inputs = [(f"{each}-{number}", number) for number in range(instances)]
            await client.submit_many(workflow, inputs)
            while (
                await client.count(status="completed", workflow=name)
            ) < instances + (LONE + 1 if each == 1 else 0):
                await asyncio.sleep(0.1)
            took_s = time.perf_counter() - begun
            used = [
                cpu_s(process) - at
                for process, at in zip(processes, before, strict=True)
            ]
            figures |= {
                f"{name}_steps_per_s": steps / took_s,
                f"{name}_workers_cpu_ms_per_step": sum(used[:workers]) * 1000 / steps,
                f"{name}_executors_cpu_ms_per_step": sum(used[workers:]) * 1000 / steps,
            }
    return {
        **figures,
        "lone_run_p50_ms": statistics.median(lone) * 1000,
        "lone_run_p99_ms": sorted(lone)[int(len(lone) * 0.99)] * 1000,
    }


def main() -> None:
    """Start the processes, measure, print, and end them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--executors", type=int, default=2)
    parser.add_argument("--slots", type=int, default=256)
    parser.add_argument("--partitions", type=int, default=4)
    options = parser.parse_args()
    here = Path(__file__).parent
    path = os.pathsep.join((str(here), str(here.parent)))
    with ExitStack() as stack:
        servers = os.environ.get("SAYIIR_TEST_KAFKA")
        if not servers:
            servers = stack.enter_context(LocalBroker()).bootstrap
        app = f"bench-{secrets.token_hex(4)}"
        asyncio.run(create(servers, app, options.partitions))
        url = f"kafka://{servers}/{app}"
        processes: list[subprocess.Popen[bytes]] = []
        kinds = ["worker"] * options.workers + ["executor"] * options.executors
        for number, kind in enumerate(kinds):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            environment = {
                **os.environ,
                "PYTHONPATH": path,
                "XDG_STATE_HOME": f"{folder}/{number}",
            }
            process = subprocess.Popen(  # noqa: S603 (our own)
                _command(kind, url, options.slots), env=environment
            )
            stack.callback(_end, process)
            processes.append(process)
        figures = asyncio.run(
            _measure(url, options.steps, processes, workers=options.workers)
        )
        print(json.dumps(figures, indent=1))


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()


if __name__ == "__main__":
    main()
