"""Milliseconds of one `run_durable_workflow`, one call after the other, in one process.

Run `python benchmarks/durable_calls.py`. A workflow has five steps that do nothing. The
calls have no backend, an `InMemoryBackend` that is kept, or a file by its URL; those of
`aio` are made on one event loop. Wall time is that of the median call, disk included.
"""
# ruff: noqa: INP001  # a program, no package

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeAlias

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.engine import flows
from sayiir_es import InMemoryBackend, aio, run_durable_workflow
from sayiir_es.telemetry import configure_logging

if TYPE_CHECKING:
    from sayiir_es.client.backends import Backend

Times: TypeAlias = list[float]
"""How long each call took, in seconds."""

WARM_UP = 50


def call_here(flow: flows.Workflow, backend: Backend | str | None, count: int) -> Times:
    """Calls of the synchronous function."""
    names, taken = itertools.count(), Times()
    for _ in range(count):
        began = time.perf_counter()
        status = run_durable_workflow(flow, f"{next(names)}", "x", backend)
        taken.append(time.perf_counter() - began)
        assert status.is_completed(), status
    return taken[WARM_UP:]


def call_on_loop(
    flow: flows.Workflow, backend: Backend | str | None, count: int
) -> Times:
    """Calls of the coroutine."""

    async def calls() -> Times:
        names, taken = itertools.count(), Times()
        for _ in range(count):
            began = time.perf_counter()
            status = await aio.run_durable_workflow(
                flow, f"{next(names)}", "x", backend
            )
            taken.append(time.perf_counter() - began)
            assert status.is_completed(), status
        await aio.aclose()
        return taken[WARM_UP:]

    return asyncio.run(calls())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=1_000, help="of each figure")
    count = parser.parse_args().calls + WARM_UP
    configure_logging(level="error")
    sys.stdout.write(f"{'':34}{'ms, p50':>9}{'p99':>8}{'steps/s':>10}\n")
    with TemporaryDirectory() as folder:
        for number, (way, call, flow) in enumerate(
            (way, call, flow)
            for way, call in (("", call_here), ("aio, ", call_on_loop))
            for flow in (flows.SYNC, flows.ASYNC)
        ):
            steps = "sync" if flow is flows.SYNC else "async"
            backends = {
                "no backend": None,
                "memory, kept": InMemoryBackend(),
                "file, by URL": f"file:{folder}/{number}.db",
            }
            for kind, backend in backends.items():
                taken = sorted(call(flow, backend, count))
                rate = flows.STEPS * len(taken) / sum(taken)
                p50_ms, p99_ms = (
                    1000 * median(taken),
                    1000 * taken[len(taken) * 99 // 100],
                )
                name = f"{way}{kind}, {steps} steps"
                sys.stdout.write(f"{name:34}{p50_ms:9.3f}{p99_ms:8.2f}{rate:10,.0f}\n")


if __name__ == "__main__":
    main()
