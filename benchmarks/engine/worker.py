"""A worker in a process of its own, as in production; ends with its standard input."""

from __future__ import annotations

import asyncio
import sys

from benchmarks.engine import flows
from sayiir_es.client.backends import backend_from_url
from sayiir_es.client.worker import RunningWorker
from sayiir_es.engine.gc_tuning import collect_young, tune_gc
from sayiir_es.telemetry import configure_logging


async def main(url: str) -> None:
    """Serve until standard input ends."""
    backend = backend_from_url(url)
    worker = RunningWorker("bench", backend, slots=2_000)
    await worker.start(flows.ALL)
    assert worker.engine is not None
    await worker.engine.wait_until_settled()
    tune_gc()
    collecting = asyncio.create_task(collect_young())
    sys.stdout.write("serves\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    collecting.cancel()
    await worker.stop()


if __name__ == "__main__":
    level = sys.argv[2] if len(sys.argv) > 2 else "warning"  # noqa: PLR2004 (or none)
    configure_logging(level=level, format="json")
    asyncio.run(main(sys.argv[1]))
