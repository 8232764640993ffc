"""What an attempt in a process costs: µs each, one at a time and several side by side.

The attempts do nothing. The same function in threads, and on the loop, is beside them:
the difference is what the pipe and the other process cost. Also how long a new process
takes to be ready, and one that is killed to be replaced.
"""
# ruff: noqa: INP001  # a program, no package

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from sayiir_es import Flow, task
from sayiir_es.engine.attempts.attempt import Attempt
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.worker_settings import ProcessSettings
from sayiir_es.telemetry import configure_logging

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.model.inputs import Outcome
    from sayiir_es.engine.definitions.registry import Runnable


@task(executor="process")
def in_process(value: object) -> object:
    """Do nothing, in a process."""
    return value


@task(executor="process")
async def async_in_process(value: object) -> object:
    """Do nothing, on the event loop of a process."""
    return value


def in_thread(value: object) -> object:
    """Do nothing, in a thread."""
    return value


async def on_loop(value: object) -> object:
    """Do nothing, on the loop."""
    return value


class Load:
    """Runs attempts, so many at a time, until so many have ended."""

    def __init__(self, processes: int) -> None:
        self.executor = LocalExecutor(
            processes, worker_id="w", processes=ProcessSettings(count=processes)
        )
        self._registry = Registry()
        self._left = self._open = 0
        self._done = asyncio.Event()
        self._runnable: Runnable | None = None

    async def run(
        self, function: Callable[..., Any], count: int, in_flight: int
    ) -> float:
        """Microseconds of an attempt, all of them together divided by their number."""
        workflow: Any = Flow(function.__name__).then(function).build()
        self._registry.register(workflow)
        path = workflow.graph.chain[0].id
        self._runnable = self._registry.runnable(workflow.graph.digest, path)
        self._left, self._open = count, 0
        self._done.clear()
        begun = time.perf_counter()
        for _ in range(in_flight):
            self._next()
        await self._done.wait()
        return (time.perf_counter() - begun) / count * 1e6

    def _next(self) -> None:
        if self._left == 0:
            if self._open == 0:
                self._done.set()
            return
        self._left -= 1
        self._open += 1
        assert self._runnable is not None
        attempt = Attempt(
            instance_id=f"i{self._left}",
            run=1,
            path=self._runnable.node.id,
            number=1,
            owner=self,
            runnable=self._runnable,
            input=b'{"amount":5}',
        )
        if self.executor.reserve(attempt):
            self.executor.start(attempt)
        else:
            self.executor.enqueue(attempt)

    def granted(self, attempt: Attempt) -> None:
        """Start it."""
        self.executor.start(attempt)

    def room_freed(self) -> None:
        """Nothing waits."""

    def reported(self, attempt: Attempt, outcome: Outcome) -> None:
        """One is over."""
        assert outcome.result == "completed", (attempt, outcome)
        self._open -= 1
        self._next()


async def measure(processes: int, count: int) -> None:
    """Measure and print."""
    load = Load(processes)
    begun = time.perf_counter()
    await load.run(in_process, 1, 1)
    _print("first attempt, with the start of its process: ms", begun)
    await load.run(in_process, processes * 100, processes * 2)
    for name, function in (
        ("process", in_process),
        ("process, async", async_in_process),
        ("thread", in_thread),
        ("loop", on_loop),
    ):
        for in_flight in (1, processes):
            each = [await load.run(function, count, in_flight) for _ in range(3)]
            text = f"{name}, {in_flight} at a time: µs an attempt"
            print(f"{text:52} {statistics.median(each):8.1f}")  # noqa: T201
    await load.executor.close()


def _print(text: str, begun: float) -> None:
    print(f"{text:52} {(time.perf_counter() - begun) * 1e3:8.1f}")  # noqa: T201


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--count", type=int, default=3_000)
    args = parser.parse_args()
    configure_logging(level="error")
    asyncio.run(measure(args.processes, args.count))


if __name__ == "__main__":
    main()
