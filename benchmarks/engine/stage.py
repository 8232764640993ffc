"""What is measured: a backend with its worker process, and where its CPU goes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sayiir_es.client.backends import EmbeddedBackend, KafkaBackend
from tests.broker import LocalBroker

if TYPE_CHECKING:
    from collections.abc import Generator

    from sayiir_es.log.port import Log

ROOT = Path(__file__).parents[2]
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A served log; processes are named by who they are."""

    name: str
    log: Log
    worker: int
    broker: tuple[int, ...]

    def cpu_s(self, *pids: int) -> float:
        """User and system time of processes so far, in seconds."""
        return sum(cpu_seconds(pid) for pid in pids)


def cpu_seconds(pid: int) -> float:
    """User and system time of one process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


@contextmanager
def worker_process(url: str, folder: str) -> Generator[int]:
    """A worker on a backend, until the block ends."""
    environment = {**os.environ, "SAYIIR_STATE_DIR": f"{folder}/state"}
    process = subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, "-m", "benchmarks.engine.worker", url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        said = process.stdout.readline()
        if said != b"serves\n":
            raise RuntimeError(f"expected the worker to serve, but it said {said!r}")
        yield process.pid
    finally:
        process.stdin.close()
        process.wait(30)


@contextmanager
def embedded() -> Generator[Stage]:
    """One SQLite file on this machine's disk."""
    with tempfile.TemporaryDirectory(prefix="sayiir-bench-") as folder:
        backend = EmbeddedBackend(f"{folder}/log.db")
        with worker_process(backend.url, folder) as pid:
            yield Stage(name="embedded", log=backend.open_log(), worker=pid, broker=())


@contextmanager
def kafka(partitions: int) -> Generator[Stage]:
    """One real broker, started here, or the one that SAYIIR_TEST_KAFKA names."""
    with tempfile.TemporaryDirectory(prefix="sayiir-bench-") as folder:
        given = os.environ.get("SAYIIR_TEST_KAFKA")
        if given:
            with _on(given, partitions, folder, ()) as stage:
                yield stage
            return
        with LocalBroker() as broker:
            pids = tuple(broker.pids())
            with _on(broker.bootstrap, partitions, folder, pids) as stage:
                yield stage


@contextmanager
def _on(
    bootstrap: str, partitions: int, folder: str, pids: tuple[int, ...]
) -> Generator[Stage]:
    app = f"bench-{os.getpid()}"
    from sayiir_es.log.kafka.log import KafkaLog  # noqa: PLC0415 (slow to import)

    log = KafkaLog(bootstrap, app=app, partitions=partitions)
    import asyncio  # noqa: PLC0415

    async def create() -> None:
        await log.open(create=True)
        await log.close()

    asyncio.run(create())
    backend = KafkaBackend(bootstrap, app=app)
    with worker_process(backend.url, folder) as pid:
        yield Stage(name="kafka", log=backend.open_log(), worker=pid, broker=pids)
