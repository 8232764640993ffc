"""One app of a test's own on a real Kafka: its workers, a producer and the reader."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.kafka.load import PlainProducer
from tests.kafka.reader import EventReader
from tests.kafka.worker_process import WorkerProcess

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

PARTITIONS = 8


class LiveApp:
    """Makes what a live test needs, and closes it at the end; a context manager."""

    def __init__(self, bootstrap: str, app: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.app = app
        self.folder = folder
        self.workers: list[WorkerProcess] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def worker(self, name: str) -> WorkerProcess:
        """A started worker."""
        worker = WorkerProcess(name, self.bootstrap, self.app, self.folder)
        self.workers.append(worker)
        return self._stack.enter_context(worker)

    def lone_worker(self, name: str = "w1") -> WorkerProcess:
        """A worker that owns every partition when this returns."""
        worker = self.worker(name)
        worker.until_logged("partition.claimed", count=PARTITIONS)
        return worker

    def two_workers(self) -> tuple[WorkerProcess, WorkerProcess]:
        """Two workers that share the partitions when this returns."""
        first, second = self.lone_worker("w1"), self.worker("w2")
        second.until_logged("partition.claimed", count=PARTITIONS // 2)
        return first, second

    def reader(self) -> EventReader:
        """The independent reader, at the start of the events; the app must exist."""
        return self._stack.enter_context(EventReader(self.bootstrap, self.app))

    def producer(self) -> PlainProducer:
        """A plain producer of commands."""
        return PlainProducer(self.bootstrap, self.app)

    def tails(self) -> str:
        """The ends of the workers' logs, for failures."""
        return "\n".join(f"== {w.name}\n{w.tail()}" for w in self.workers)
