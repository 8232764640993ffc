"""A worker process that serves the random programs of a seed and keeps a journal.

Run as a program it is the worker: `python -m tests.live.program_worker NAME …`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.kafka import worker_process
from tests.live import programs
from tests.live.journal import Journal


class ProgramWorker(worker_process.WorkerProcess):
    """A worker of the random programs, by name."""

    program = "tests.live.program_worker"


def main() -> None:
    """Be the worker until SIGTERM."""
    parser = worker_process.arguments()
    parser.add_argument("seed", type=int)
    parser.add_argument("journal", type=Path)
    options = parser.parse_args()
    workflows = programs.workflows_of(
        options.seed, Journal(options.journal, options.name)
    )
    asyncio.run(worker_process.serve(options, workflows))


if __name__ == "__main__":
    main()
