"""One app on a real Kafka with fleets of processes, and what becomes of it."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from sayiir_es import KafkaBackend, WorkflowClient
from sayiir_es.audit import verify
from tests.fleets.cli_process import CliProcess
from tests.kafka.load import now_ms
from tests.kafka.reader import EventReader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Self

LIMIT_S = 60.0
PARTITIONS = 8
EVERY_S = 0.03
"""How often a load starts an instance."""
BEYOND_TASKS_MS = 1_000
"""How long an instance may wait, all in all, beside its tasks."""


class Fleet:
    """The processes of an app, and a client of it; a context manager."""

    def __init__(self, bootstrap: str, app: str, folder: Path) -> None:
        self.url = f"kafka://{bootstrap}/{app}"
        self.folder = folder
        self.processes: list[CliProcess] = []
        self.submitted_ms: dict[str, int] = {}
        self._stack = ExitStack()
        self._bootstrap, self._app = bootstrap, app

    def __enter__(self) -> Self:
        self.backend = KafkaBackend(
            self._bootstrap, app=self._app, state_dir=self.folder / "client-state"
        )
        self._stack.callback(self.backend.close)
        self.client = WorkflowClient(self.backend)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def module(self, name: str, source: str) -> str:
        """Write a module that processes may run; returns its name."""
        (self.folder / f"{name}.py").write_text(source, encoding="utf-8")
        return name

    def worker(self, name: str, *modules: str, **environment: str) -> CliProcess:
        """Start a worker."""
        line = ("worker", "run", *modules, "--worker-id", name)
        return self.command(name, *line, **environment)

    def executor(self, name: str, *line: str, **environment: str) -> CliProcess:
        """Start an executor."""
        more = ("executor", "run", *line, "--executor-id", name)
        return self.command(name, *more, **environment)

    def command(self, name: str, *line: str, **environment: str) -> CliProcess:
        """Start a command on the app."""
        process = CliProcess(
            name, self.folder, *line, "--backend", self.url, **environment
        )
        self.processes.append(process)
        return self._stack.enter_context(process)

    def until_served(self, *workers: CliProcess, among: int = 0) -> None:
        """Wait until each of these serves its share, of these or `among` so many."""
        share = PARTITIONS // (among or len(workers))
        until(
            lambda: all(
                len({line["partition"] for line in one.logged("partition.claimed")})
                >= share
                for one in workers
            )
        )

    def submit(self, workflow: str, instance_id: str, value: object) -> None:
        """Start an instance, and note when."""
        self.submitted_ms[instance_id] = now_ms()
        self.client.submit(workflow, instance_id, value)

    def submit_many(self, workflow: str, names: Sequence[str]) -> None:
        """Start instances, and note when."""
        self.submitted_ms |= dict.fromkeys(names, now_ms())
        self.client.submit_many(workflow, [(name, 0) for name in names])

    def reader(self) -> EventReader:
        """An independent reader of the events, at their start."""
        reader = EventReader(self._bootstrap, self._app)
        return self._stack.enter_context(reader)

    def finish(self, limit_s: float = LIMIT_S) -> EventReader:
        """Wait for the end of all that was started; returns who has read the events."""
        reader = self.reader()
        reader.until(lambda: reader.ended.keys() >= self.submitted_ms.keys(), limit_s)
        return reader

    def waits_ms(self, reader: EventReader, tasks_ms: int) -> dict[str, int]:
        """How long each took from its start on, less what its tasks take."""
        ended = {
            event.instance_id: event.at
            for event in reader.valid()
            if event.kind == "WorkflowCompleted"
        }
        return {
            name: ended[name] - at - tasks_ms for name, at in self.submitted_ms.items()
        }

    def story(self, reader: EventReader, name: str) -> str:
        """What became of an instance, with the time since its start in ms."""
        at_ms = self.submitted_ms[name]
        events = (f"{one.at - at_ms} {one.where}" for one in reader.of(name))
        return f"{name} at {at_ms}: {', '.join(events)}"

    def check(self) -> None:
        """Nothing is stranded, and every invariant holds."""
        assert self.client.count(status="stranded") == 0
        report = verify(self.backend)
        assert report.holds, report.violations[:5]

    def tails(self) -> str:
        """The ends of the processes' logs, for failures."""
        return "\n".join(f"== {one.name}\n{one.tail()}" for one in self.processes)


class Load:
    """Starts instances of workflows, in turn and evenly; a context manager."""

    def __init__(self, fleet: Fleet, workflows: Sequence[str]) -> None:
        self._fleet = fleet
        self._workflows = workflows
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._end.wait(EVERY_S):
            workflow = self._workflows[number % len(self._workflows)]
            value: object = [] if workflow == "orders" else number
            self._fleet.submit(workflow, f"i{number}", value)
            number += 1


def until(is_so: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    """Wait until something is so."""
    end_s = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < end_s, "it does not become so"
        time.sleep(0.05)
