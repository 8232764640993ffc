"""Steps a second of `run_workflow` without a log: one core, by the CPU time it takes.

Run `python benchmarks/simple.py`. A workflow has five steps that do nothing. CPU time
is that of all threads of this process, so that other programs do not count; each figure
is the best of several rounds.
"""
# ruff: noqa: INP001  # a program, no package

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.engine import flows
from sayiir_es import Flow, aio, run_workflow, task

if TYPE_CHECKING:
    from collections.abc import Callable

ORDER = {"amount": 5, "to": "ana"}


@task(timeout="10s")
def within_time(value: object) -> object:
    """A sync step with a time-out, which takes a thread."""
    return value


def mixed() -> Flow:
    """Sync and async steps by turns."""
    flow = Flow("bench-mixed")
    for number in range(flows.STEPS):
        step = flows.pass_on if number % 2 else flows.hand_on
        flow.then(step, name=f"s{number}")
    return flow


def calls() -> dict[str, Callable[[int], None]]:
    """What is measured: each makes so many calls."""

    def sync(workflow: flows.Workflow, value: object) -> Callable[[int], None]:
        def run(count: int) -> None:
            for _ in range(count):
                run_workflow(workflow, value)

        return run

    def on_loop(workflow: flows.Workflow, value: object) -> Callable[[int], None]:
        async def run(count: int) -> None:
            for _ in range(count):
                await aio.run_workflow(workflow, value)

        return lambda count: asyncio.run(run(count))

    timed = flows.chain("bench-timed", within_time, flows.STEPS)
    return {
        "run_workflow, sync steps, a text": sync(flows.SYNC, "x"),
        "run_workflow, sync steps, an object": sync(flows.SYNC, ORDER),
        "run_workflow, sync steps, one nested": sync(flows.SYNC, {"order": ORDER}),
        "run_workflow, async steps": sync(flows.ASYNC, "x"),
        "run_workflow, sync and async steps": sync(mixed().build(), "x"),
        "run_workflow, sync steps with a time-out": sync(timed, "x"),
        "aio.run_workflow, async steps": on_loop(flows.ASYNC, "x"),
        "aio.run_workflow, sync steps": on_loop(flows.SYNC, "x"),
    }


def seconds_of(call: Callable[[int], None], count: int) -> float:
    """The CPU time of so many calls."""
    begun = time.process_time()
    call(count)
    return time.process_time() - begun


def steps_per_second(call: Callable[[int], None], rounds: int) -> float:
    """The best round's figure; a round takes a fifth of a second or more."""
    count = 10
    while (seconds := seconds_of(call, count)) < 0.2:  # noqa: PLR2004
        count *= 4
    best = min(seconds, *(seconds_of(call, count) for _ in range(rounds)))
    return flows.STEPS * count / best


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="of each figure (5)")
    rounds = parser.parse_args().rounds
    sys.stdout.write(f"{'':42}{'steps/s':>10}{'µs a step':>11}\n")
    for name, call in calls().items():
        rate = steps_per_second(call, rounds)
        sys.stdout.write(f"{name:42}{rate:10,.0f}{1e6 / rate:11.1f}\n")


if __name__ == "__main__":
    main()
