"""The workloads, as every adapter puts them on its engine; the standard library alone.

An adapter runs in its peer's own Python. It starts what its engine needs, hands over
calls that begin a workflow and return its output, and prints one JSON line.
Every workflow is checked by its output.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Protocol

from benchmarks.engine.client_load import END_LIMIT_S, ClientLoad
from benchmarks.peers.cpu import cpu_by_role, trees_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

WARM_UP_S = 3.0
"""At most as long as the measure."""

STEPS = {"w1": 5, "w2": 11, "w3": 1}
"""Steps of a workflow in the measured time; of W3 the signal and the step after it."""

BRANCHES = 10
WAITING = 500
"""So many workflows wait before the first signal of a W3 round is sent."""

SENDERS = 32
"""Signals that are being sent at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What one start of an adapter measures."""

    variant: str
    workload: str
    seconds: float
    in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Latencies and CPU times by role, in seconds, of the steps of so many seconds."""

    seconds: float
    latencies: Sequence[float]
    cpu: Mapping[str, float]
    steps_each: int

    def line(self) -> str:
        """The figures as one line of JSON."""
        steps = len(self.latencies) * self.steps_each
        if len(self.latencies) < 2:  # noqa: PLR2004 (a median of something)
            raise RuntimeError(f"expected two ends at least, but {len(self.latencies)}")
        figures = {
            "steps_per_s": steps / self.seconds,
            "p50_ms": statistics.median(self.latencies) * 1000,
            "cpu_ms_per_step": {
                role: seconds * 1000 / steps for role, seconds in self.cpu.items()
            },
        }
        return json.dumps(figures) + "\n"


class AsyncEngine(Protocol):
    """An engine with an async client."""

    @property
    def roots(self) -> Mapping[str, Sequence[int]]:
        """Process ids by role: client, worker, server."""
        ...

    async def run(self, workload: str, instance_id: str, value: int) -> int:
        """Start a workflow of W1 or W2 and return its output."""
        ...

    async def start_waiting(self, instance_ids: Sequence[str]) -> None:
        """Start workflows of W3; return when all of them wait for their signals."""
        ...

    async def send(self, instance_id: str, value: int) -> None:
        """Send the signal."""
        ...

    async def result(self, instance_id: str) -> int:
        """Wait for the output."""
        ...


class ThreadEngine(Protocol):
    """An engine whose calls block, and run the workflow themselves."""

    @property
    def roots(self) -> Mapping[str, Sequence[int]]:
        """Process ids by role."""
        ...

    def run(self, workload: str, instance_id: str, value: int) -> int:
        """Run a workflow of W1 or W2 and return its output."""
        ...

    def start_waiting(self, instance_id: str) -> None:
        """Run a workflow of W3 up to its wait."""
        ...

    def send_and_finish(self, instance_id: str, value: int) -> int:
        """Send the signal and run the workflow to its end."""
        ...


class ThreadLoad:
    """Keeps blocking calls in flight, a thread each; each gets its turn's number."""

    def __init__(self, call: Callable[[int], None]) -> None:
        self.latencies: list[float] = []
        """Seconds that each call took, so far."""
        self._call = call
        self._started = 0
        self._lock = threading.Lock()
        self._stopping = False

    @asynccontextmanager
    async def in_flight(self, count: int) -> AsyncGenerator[None]:
        """Keep so many in flight; after the block all have ended."""
        pool = ThreadPoolExecutor(count)
        lanes = [pool.submit(self._lane) for _ in range(count)]
        try:
            yield
        finally:
            self._stopping = True
        for lane in lanes:
            await asyncio.wait_for(asyncio.wrap_future(lane), END_LIMIT_S)

    def _lane(self) -> None:
        while not self._stopping:
            with self._lock:
                self._started += 1
                number = self._started
            began = time.perf_counter()
            self._call(number)
            self.latencies.append(time.perf_counter() - began)


@dataclass(slots=True)
class Stopwatch:
    """Adds up seconds and CPU times over several measured blocks."""

    roots: Mapping[str, Sequence[int]]
    seconds: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict[str, float])
    _trees: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    _began: float = 0.0
    _before: dict[str, float] = field(default_factory=dict[str, float])

    def __enter__(self) -> None:
        """Begin a block; what looking for processes costs is left out of it."""
        self._trees = trees_of(self.roots)
        self._before = cpu_by_role(self._trees)
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.seconds += time.perf_counter() - self._began
        for role, seconds in cpu_by_role(self._trees).items():
            self.cpu[role] = self.cpu.get(role, 0.0) + seconds - self._before[role]


def case_of(variants: Sequence[str]) -> Case:
    """The command line of an adapter."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--variant", choices=variants, default=variants[0])
    parser.add_argument("--workload", choices=[*STEPS, "w4"], required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    return Case(**vars(parser.parse_args()))


def arguments_of(case: Case) -> list[str]:
    """The same, the other way round."""
    return [
        part
        for name, value in asdict(case).items()
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]


def output_of(workload: str, value: int) -> int:
    """What a workflow of W1 or W2 returns: each step its input and one."""
    return value + 5 if workload == "w1" else BRANCHES * (value + 1)


async def measure(engine: AsyncEngine, case: Case) -> None:
    """Measure an engine with an async client, and print the line."""

    async def call(number: int) -> None:
        output = await engine.run(case.workload, f"{case.workload}-{number}", number)
        _check(output, output_of(case.workload, number))

    if case.workload == "w3":
        measured = await _signals(engine, case)
    else:
        measured = await _window(ClientLoad(call), engine.roots, case)
    sys.stdout.write(measured.line())
    sys.stdout.flush()


def measure_threads(engine: ThreadEngine, case: Case) -> None:
    """Measure an engine whose calls block, and print the line."""

    def call(number: int) -> None:
        output = engine.run(case.workload, f"{case.workload}-{number}", number)
        _check(output, output_of(case.workload, number))

    if case.workload == "w3":
        measured = _thread_signals(engine, case)
    else:
        measured = asyncio.run(_window(ThreadLoad(call), engine.roots, case))
    sys.stdout.write(measured.line())
    sys.stdout.flush()


async def _window(
    load: ClientLoad | ThreadLoad, roots: Mapping[str, Sequence[int]], case: Case
) -> Measured:
    """Measure in the middle of a load, after a warm-up."""
    watch = Stopwatch(roots)
    async with load.in_flight(case.in_flight):
        await asyncio.sleep(min(WARM_UP_S, case.seconds))
        with watch:
            warm = len(load.latencies)
            await asyncio.sleep(case.seconds)
            latencies = load.latencies[warm:]
    return _measured(watch, latencies, case)


async def _signals(engine: AsyncEngine, case: Case) -> Measured:
    """Rounds of W3: all wait, then the signals are sent; the first one warms up."""
    sending = asyncio.Semaphore(SENDERS)

    async def signal(instance_id: str, value: int) -> float:
        async with sending:
            began = time.perf_counter()
            await engine.send(instance_id, value)
        _check(await engine.result(instance_id), value + 1)
        return time.perf_counter() - began

    async def signal_all(ids: Sequence[str]) -> list[float]:
        return await asyncio.gather(*(signal(one, n) for n, one in enumerate(ids)))

    warm_up = [f"w3-warm-{n}" for n in range(SENDERS)]
    await engine.start_waiting(warm_up)
    await signal_all(warm_up)
    watch, latencies, round_number = Stopwatch(engine.roots), list[float](), 0
    while watch.seconds < case.seconds:
        round_number += 1
        ids = [f"w3-{round_number}-{n}" for n in range(WAITING)]
        await engine.start_waiting(ids)
        with watch:
            latencies += await signal_all(ids)
    return _measured(watch, latencies, case)


def _thread_signals(engine: ThreadEngine, case: Case) -> Measured:
    """Rounds of W3; sending and running on are one call."""

    def signal(instance_id: str) -> float:
        began = time.perf_counter()
        _check(engine.send_and_finish(instance_id, 1), 2)
        return time.perf_counter() - began

    watch, latencies, round_number = Stopwatch(engine.roots), list[float](), 0
    with ThreadPoolExecutor(case.in_flight) as pool:
        while watch.seconds < case.seconds:
            round_number += 1
            ids = [f"w3-{round_number}-{n}" for n in range(WAITING)]
            list(pool.map(engine.start_waiting, ids))
            with watch:
                latencies += pool.map(signal, ids)
    return _measured(watch, latencies, case)


def _measured(watch: Stopwatch, latencies: Sequence[float], case: Case) -> Measured:
    return Measured(
        seconds=watch.seconds,
        latencies=latencies,
        cpu=watch.cpu,
        steps_each=STEPS[case.workload],
    )


def _check(output: object, expected: int) -> None:
    if output != expected:
        raise RuntimeError(f"expected the output {expected}, but got {output!r}")
