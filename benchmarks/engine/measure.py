"""The figures of one backend: latency, throughput and what a step costs.

Every figure is taken from the middle of a load: it warms up, then the clock and the
processes' CPU times are read, then it goes on for the time asked for. What is in flight
when that ends is waited for, and not counted.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from benchmarks.engine import flows
from benchmarks.engine.load import Load
from benchmarks.engine.stage import cpu_seconds
from sayiir_es.log.port import NewRecord, Topic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from benchmarks.engine.stage import Stage
    from sayiir_es.core.authoring.flow import Workflow

WARM_UP_S = 3.0
"""How long a load runs before it is measured, where the measure is as long itself."""

PRODUCES = 300
WARM_PRODUCES = 50

_loads = itertools.count()
"""Each load has instances of its own."""

Figures: TypeAlias = "dict[str, float]"
"""By name, in the order in which they are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to measure: seconds a figure, and how many instances in flight."""

    seconds: float
    instances: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What ended between two looks, and the CPU time of each role, in seconds."""

    seconds: float
    latencies: Sequence[float]
    cpu: dict[str, float]


async def figures_of(on: Stage, asked: Asked) -> Figures:
    """All figures of one backend."""
    found: Figures = {}
    await on.log.open(create=False)
    try:
        await _lone(on, asked, found)
        ten = await _window(on, flows.ASYNC, 10, asked)
        found["10 in flight: workflow ms, p50"] = _ms(ten.latencies, 50)
        found["10 in flight: workflow ms, p99"] = _ms(ten.latencies, 99)
        for sort, workflow in (("async", flows.ASYNC), ("sync", flows.SYNC)):
            window = await _window(on, workflow, asked.instances, asked)
            _throughput(f"{sort}, {asked.instances:,} in flight: ", window, found)
    finally:
        await on.log.close()
    return found


async def _lone(on: Stage, asked: Asked, found: Figures) -> None:
    """One workflow at a time, between two rounds of single produces."""
    produces = await _produces(on)
    short = await _window(on, flows.ASYNC, 1, asked)
    long = await _window(on, flows.LONG, 1, asked)
    for name, again in (await _produces(on)).items():
        produces[name] += again
    for name, took in produces.items():
        found[f"one produce by {name} ms, p50"] = _ms(took, 50)
        found[f"one produce by {name} ms, p99"] = _ms(took, 99)
    whole = _ms(short.latencies, 50)
    found["alone: workflow ms, p50"] = whole
    found["alone: workflow ms, p99"] = _ms(short.latencies, 99)
    found["alone: a fifth of it, ms"] = whole / flows.STEPS
    more = (_ms(long.latencies, 50) - whole) / (flows.MANY_STEPS - flows.STEPS)
    found["alone: one more step, ms"] = more
    for name, took in produces.items():
        one = _ms(took, 50)
        found[f"alone: a fifth / one produce by {name}"] = whole / flows.STEPS / one
        found[f"alone: one more step / one produce by {name}"] = more / one


async def _produces(on: Stage) -> dict[str, list[float]]:
    """Seconds of single acknowledged produces, by who made them."""
    record = NewRecord(key=b"yardstick", value=b"{}")

    async def own() -> None:
        await on.log.produce(Topic.DEAD_LETTERS, 0, record)

    found = {"us": await _timed(own)}
    async with on.foreign_producer() as produce:
        if produce is not None:
            found["aiokafka"] = await _timed(produce)
    return found


async def _timed(call: Callable[[], Awaitable[object]]) -> list[float]:
    took: list[float] = []
    for _ in range(WARM_PRODUCES + PRODUCES):
        began = time.perf_counter()
        await call()
        took.append(time.perf_counter() - began)
    return took[WARM_PRODUCES:]


async def _window(on: Stage, workflow: Workflow, count: int, asked: Asked) -> Window:
    """Keep instances in flight; look at the middle of it."""
    roles = {"worker": on.workers, "load": (os.getpid(),), "broker": on.broker}
    prefix = f"{workflow.graph.name}-{next(_loads)}"
    async with Load(on.log, workflow, prefix) as load, load.in_flight(count):
        await asyncio.sleep(min(WARM_UP_S, asked.seconds))
        load.latencies.clear()
        before = {name: cpu_seconds(*pids) for name, pids in roles.items()}
        began = time.perf_counter()
        await asyncio.sleep(asked.seconds)
        return Window(
            seconds=time.perf_counter() - began,
            latencies=tuple(load.latencies),
            cpu={
                name: cpu_seconds(*pids) - before[name]
                for name, pids in roles.items()
                if pids
            },
        )


def _throughput(prefix: str, window: Window, found: Figures) -> None:
    steps = len(window.latencies) * flows.STEPS
    found[prefix + "steps a second"] = steps / window.seconds
    for role, seconds in window.cpu.items():
        found[f"{prefix}CPU ms a step, {role}"] = seconds * 1000 / max(steps, 1)
    found[prefix + "worker's share of a core"] = window.cpu["worker"] / window.seconds
    found[prefix + "workflow ms, p50"] = _ms(window.latencies, 50)
    found[prefix + "workflow ms, p99"] = _ms(window.latencies, 99)


def _ms(seconds: Sequence[float], percent: int) -> float:
    if len(seconds) < 2:  # noqa: PLR2004 (quantiles need two)
        raise RuntimeError(
            f"expected two instances to end at least, but {len(seconds)}: take longer"
        )
    return statistics.quantiles(seconds, n=100)[percent - 1] * 1000
