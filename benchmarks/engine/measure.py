"""The figures of one backend: latency, throughput and what a step costs.

Every figure is measured in the middle of a load: it warms up, then the clock and the
processes' CPU times are read, then it goes on for the given time. Instances that are in
flight at its end are waited for, but not counted.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from benchmarks.engine import flows
from benchmarks.engine.load import Load
from benchmarks.engine.served_log import cpu_seconds
from sayiir_es.log.port import NewRecord, Topic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from benchmarks.engine.served_log import ServedLog
    from sayiir_es.core.authoring.flow import Workflow

WARM_UP_S = 3.0
"""How many seconds a load runs before the measure; at most as long as the measure."""

PRODUCES = 300
WARM_PRODUCES = 50

_loads = itertools.count()
"""Numbers the loads: each has instances of its own."""

Figures: TypeAlias = "dict[str, float]"
"""By name, in the order in which they are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How long each figure is measured, and how many instances are in flight."""

    seconds: float
    instances: int


class InFlight(Protocol):
    """A load that keeps so many calls in flight while a block runs."""

    latencies: list[float]
    """Seconds from each start to its end, so far."""

    def in_flight(self, count: int) -> AbstractAsyncContextManager[None]:
        """Keep so many in flight."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Latencies of the instances that ended in it, CPU times by role, in seconds."""

    seconds: float
    latencies: Sequence[float]
    cpu: dict[str, float]


async def figures_of(served: ServedLog, options: Options) -> Figures:
    """All figures of one backend."""
    figures: Figures = {}
    await served.log.open(create=False)
    try:
        await _lone(served, options, figures)
        ten = await _window(served, flows.ASYNC, 10, options)
        figures["10 in flight: workflow ms, p50"] = ms(ten.latencies, 50)
        figures["10 in flight: workflow ms, p99"] = ms(ten.latencies, 99)
        for sort, workflow in (("async", flows.ASYNC), ("sync", flows.SYNC)):
            window = await _window(served, workflow, options.instances, options)
            throughput(f"{sort}, {options.instances:,} in flight: ", window, figures)
    finally:
        await served.log.close()
    return figures


async def _lone(served: ServedLog, options: Options, figures: Figures) -> None:
    """One workflow at a time, between two rounds of single produces."""
    produces = await _produces(served)
    short = await _window(served, flows.ASYNC, 1, options)
    long = await _window(served, flows.LONG, 1, options)
    for name, more_seconds in (await _produces(served)).items():
        produces[name] += more_seconds
    for name, seconds in produces.items():
        figures[f"one produce by {name} ms, p50"] = ms(seconds, 50)
        figures[f"one produce by {name} ms, p99"] = ms(seconds, 99)
    workflow_ms = ms(short.latencies, 50)
    figures["alone: workflow ms, p50"] = workflow_ms
    figures["alone: workflow ms, p99"] = ms(short.latencies, 99)
    figures["alone: a fifth of it, ms"] = workflow_ms / flows.STEPS
    step_ms = (ms(long.latencies, 50) - workflow_ms) / (flows.MANY_STEPS - flows.STEPS)
    figures["alone: one more step, ms"] = step_ms
    for name, seconds in produces.items():
        produce_ms = ms(seconds, 50)
        figures[f"alone: a fifth / one produce by {name}"] = (
            workflow_ms / flows.STEPS / produce_ms
        )
        figures[f"alone: one more step / one produce by {name}"] = step_ms / produce_ms


async def _produces(served: ServedLog) -> dict[str, list[float]]:
    """Seconds of single acknowledged produces, by who made them."""
    record = NewRecord(key=b"yardstick", value=b"{}")

    async def own() -> None:
        await served.log.produce(Topic.DEAD_LETTERS, 0, record)

    seconds = {"us": await _timed(own)}
    async with served.foreign_producer() as produce:
        if produce is not None:
            seconds["aiokafka"] = await _timed(produce)
    return seconds


async def _timed(call: Callable[[], Awaitable[object]]) -> list[float]:
    seconds: list[float] = []
    for _ in range(WARM_PRODUCES + PRODUCES):
        began = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - began)
    return seconds[WARM_PRODUCES:]


async def _window(
    served: ServedLog, workflow: Workflow, count: int, options: Options
) -> Window:
    prefix = f"{workflow.graph.name}-{next(_loads)}"
    async with Load(served.log, workflow, prefix) as load:
        return await window_of(served, load, count, options)


async def window_of(
    served: ServedLog, load: InFlight, count: int, options: Options
) -> Window:
    """Keep calls in flight, and measure in the middle of it."""
    roles = {"worker": served.workers, "load": (os.getpid(),), "broker": served.broker}
    async with load.in_flight(count):
        await asyncio.sleep(min(WARM_UP_S, options.seconds))
        load.latencies.clear()
        before = {name: cpu_seconds(*pids) for name, pids in roles.items()}
        began = time.perf_counter()
        await asyncio.sleep(options.seconds)
        return Window(
            seconds=time.perf_counter() - began,
            latencies=tuple(load.latencies),
            cpu={
                name: cpu_seconds(*pids) - before[name]
                for name, pids in roles.items()
                if pids
            },
        )


def throughput(prefix: str, window: Window, figures: Figures) -> None:
    """Add how many steps ended a second, and what a step cost."""
    steps = len(window.latencies) * flows.STEPS
    figures[prefix + "steps a second"] = steps / window.seconds
    for role, seconds in window.cpu.items():
        figures[f"{prefix}CPU ms a step, {role}"] = seconds * 1000 / max(steps, 1)
    figures[prefix + "worker's share of a core"] = window.cpu["worker"] / window.seconds
    figures[prefix + "workflow ms, p50"] = ms(window.latencies, 50)
    figures[prefix + "workflow ms, p99"] = ms(window.latencies, 99)


def ms(seconds: Sequence[float], percent: int) -> float:
    """A percentile, in milliseconds."""
    if len(seconds) < 2:  # noqa: PLR2004 (quantiles need two)
        raise RuntimeError(
            f"expected two instances to end at least, but {len(seconds)}: take longer"
        )
    return statistics.quantiles(seconds, n=100)[percent - 1] * 1000
