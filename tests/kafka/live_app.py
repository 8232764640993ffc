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
    """Hands out what a live test needs, and ends it all; a context manager."""

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
        made = WorkerProcess(name, self.bootstrap, self.app, self.folder)
        self.workers.append(made)
        return self._stack.enter_context(made)

    def lone_worker(self, name: str = "w1") -> WorkerProcess:
        """A worker that owns every partition already."""
        made = self.worker(name)
        made.until_logged("partition.claimed", count=PARTITIONS)
        return made

    def two_workers(self) -> tuple[WorkerProcess, WorkerProcess]:
        """Two workers that share the partitions already."""
        first, second = self.lone_worker("w1"), self.worker("w2")
        second.until_logged("partition.claimed", count=PARTITIONS // 2)
        return first, second

    def reader(self) -> EventReader:
        """The independent reader, at the beginning of the events; the app exists."""
        return self._stack.enter_context(EventReader(self.bootstrap, self.app))

    def producer(self) -> PlainProducer:
        """A plain producer of commands."""
        return PlainProducer(self.bootstrap, self.app)

    def tails(self) -> str:
        """The ends of the workers' logs, for failures."""
        return "\n".join(f"== {w.name}\n{w.tail()}" for w in self.workers)
