"""A process of the command line: a worker, an executor, a server of pages."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.kafka.worker_process import WorkerProcess
from tests.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path
    from typing import Self


class CliProcess(WorkerProcess):
    """A command by name, with one process after another; a context manager."""

    program = "sayiir_es.cli"

    def __init__(self, name: str, folder: Path, *line: str, **environment: str) -> None:
        """Its modules are those of `folder`; `line` is what stands behind the name."""
        super().__init__(name, "", "", folder)
        self._arguments = list(line)
        self.environment = {
            "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT))),
            "SAYIIR_STATE_DIR": str(folder / "state"),
            "SAYIIR_SESSION_TIMEOUT": "2s",
            "SAYIIR_HEARTBEAT_INTERVAL": "300ms",
            "SAYIIR_LOG_FORMAT": "json",
            **environment,
        }

    def start(self) -> Self:
        """Start a process; returns at once."""
        with _environment(self.environment):
            return super().start()

    @property
    def executor_id(self) -> str:
        """What owners call it, once its present process offers slots; else empty."""
        for line in self.logged("message.printed"):
            words = str(line["reason"]).split()
            if words[0] == "executor" and "runs" in words:
                return words[1]
        return ""


@contextmanager
def _environment(more: dict[str, str]) -> Generator[None]:
    before: dict[str, Any] = {name: os.environ.get(name) for name in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
