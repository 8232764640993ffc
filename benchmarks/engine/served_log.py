"""What is measured: a log with its worker processes, and the CPU time of processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer

from sayiir_es.client.backends import EmbeddedBackend, KafkaBackend
from sayiir_es.log.kafka.log import KafkaLog
from sayiir_es.log.kafka.topic_rules import topic_name
from sayiir_es.log.port import Topic
from tests.broker import LocalBroker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from sayiir_es.client.backends import Backend
    from sayiir_es.log.port import Log

ROOT = Path(__file__).parents[2]
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
END_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedLog:
    """A log with workers, and the ids of the processes behind it.

    `broker` is empty if there is none, or if it was not started here; `foreign` is
    where another client may produce: servers and a topic. `folder` has the state of
    the workers: one that starts again finds it there.
    """

    log: Log
    backend: Backend
    workers: tuple[int, ...]
    folder: str
    broker: tuple[int, ...] = ()
    foreign: tuple[str, str] | None = None

    @asynccontextmanager
    async def foreign_producer(
        self,
    ) -> AsyncGenerator[Callable[[], Awaitable[object]] | None]:
        """A call that makes one acknowledged, idempotent produce by aiokafka alone.

        None where there is no Kafka. Only the benchmark and dead letters write to its
        topic.
        """
        if self.foreign is None:
            yield None
            return
        servers, topic = self.foreign
        producer = AIOKafkaProducer(
            bootstrap_servers=servers, acks="all", enable_idempotence=True
        )
        await producer.start()
        try:
            yield lambda: producer.send_and_wait(
                topic, key=b"yardstick", value=b"{}", partition=0
            )
        finally:
            await producer.stop()


def cpu_seconds(*pids: int) -> float:
    """User and system time of processes so far, in seconds."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_S


@contextmanager
def worker_process(url: str, folder: str) -> Generator[int]:
    """A worker on a backend, until the block ends."""
    process = subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, "-m", "benchmarks.engine.worker", url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "SAYIIR_STATE_DIR": f"{folder}/state"},
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        line = process.stdout.readline()
        if line != b"serves\n":
            raise RuntimeError(f"expected the worker to serve, but it said {line!r}")
        yield process.pid
    finally:
        process.stdin.close()
        try:
            process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


@contextmanager
def embedded() -> Generator[ServedLog]:
    """One SQLite file on this machine's disk, and the one worker it can have."""
    with tempfile.TemporaryDirectory(prefix="sayiir-bench-") as folder:
        backend = EmbeddedBackend(f"{folder}/log.db")
        with worker_process(backend.url, folder) as pid:
            yield ServedLog(
                log=backend.open_log(), backend=backend, workers=(pid,), folder=folder
            )


@contextmanager
def kafka(partitions: int, workers: int) -> Generator[ServedLog]:
    """One real broker, started here, or the one that SAYIIR_TEST_KAFKA names."""
    with ExitStack() as stack:
        servers = os.environ.get("SAYIIR_TEST_KAFKA")
        pids: tuple[int, ...] = ()
        if not servers:
            broker = stack.enter_context(LocalBroker())
            servers, pids = broker.bootstrap, tuple(broker.pids())
        app = f"bench-{os.getpid()}"
        asyncio.run(create(servers, app, partitions))
        backend = KafkaBackend(servers, app=app)
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="sayiir-bench-")
        )
        yield ServedLog(
            log=backend.open_log(),
            backend=backend,
            workers=tuple(
                stack.enter_context(worker_process(backend.url, folder))
                for _ in range(workers)
            ),
            folder=folder,
            broker=pids,
            foreign=(servers, topic_name(app, Topic.DEAD_LETTERS)),
        )


async def create(servers: str, app: str, partitions: int) -> None:
    """Create the topics of an app."""
    log = KafkaLog(servers, app=app, partitions=partitions)
    await log.open(create=True)
    await log.close()
