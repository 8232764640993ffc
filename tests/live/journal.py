"""A journal of executions, in files that survive a process killed at any time.

Each process of a worker appends a line to a file of its own at the beginning of each
execution, by one write: `kill -9` loses nothing that the kernel has.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from sayiir_es.engine.attempts.task_context import TaskExecutionContext
    from tests.simulation.judge import Token


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """The function of a task or route began."""

    process: str
    """Worker and process id."""
    token: Token


class Journal:
    """The journal file of this process."""

    def __init__(self, folder: Path, worker: str) -> None:
        folder.mkdir(exist_ok=True)
        path = folder / f"{worker}-{os.getpid()}"
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def note(self, context: TaskExecutionContext) -> None:
        """An execution begins."""
        instance_id, _, path = context.idempotency_key.split("/", 2)
        line = f"{context.attempt} {instance_id}/{context.run}/{path}\n".encode()
        assert os.write(self._file, line) == len(line)


def read_entries(folder: Path) -> list[JournalEntry]:
    """The entries of all processes."""
    entries: list[JournalEntry] = []
    for path in sorted(folder.iterdir()):
        for line in path.read_text().splitlines():
            attempt, _, key = line.partition(" ")
            instance_id, run, node_path = key.split("/", 2)
            token = (instance_id, int(run), node_path, int(attempt))
            entries.append(JournalEntry(process=path.name, token=token))
    return entries
