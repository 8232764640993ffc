"""`sayiir-es worker run`: a process that owns partitions and runs attempts."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, open_backend
from sayiir_es.cli.failures import FAILED
from sayiir_es.cli.output import print_message
from sayiir_es.cli.serving import first_of, stop_signal
from sayiir_es.cli.workflow_modules import load_workflows
from sayiir_es.core.model.errors import (
    ClockRefusedError,
    StoreError,
    UsageError,
    WorkflowError,
)
from sayiir_es.engine.gc_tuning import tune_gc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.client.backends import Backend
    from sayiir_es.client.worker import RunningWorker
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.engine.definitions.capabilities import Refusal
    from sayiir_es.engine.worker import WorkerEngine

DEFAULT_SLOTS = 64
"""The client's number for a worker, whose module is slow to import."""

LOOK_S = 0.02
"""How often a worker that starts looks whether it serves."""

PATIENCE_S = 3.0
"""After so long without a partition the worker prints what it waits for."""


def run(
    modules: Annotated[
        list[str],
        typer.Argument(
            metavar="MODULE…",
            help="Importable Python; every Workflow at its top level is registered.",
        ),
    ],
    *,
    worker_id: Annotated[
        str | None,
        typer.Option("--worker-id", help="Its name in events; made up when left out."),
    ] = None,
    slots: Annotated[
        int,
        typer.Option(
            "--max-concurrent-tasks", min=1, help="Attempts that run at a time."
        ),
    ] = DEFAULT_SLOTS,
    tags: Annotated[
        str | None,
        typer.Option(
            "--tags",
            metavar="TAG[,TAG…]",
            help="Run only tasks whose tags are all among these.",
        ),
    ] = None,
    url: BackendOption = DEFAULT_BACKEND,
) -> int:
    """Own partitions and run the workflows of some modules, until SIGTERM or SIGINT."""
    backend = open_backend(url, serves=True)
    if backend.url == "memory:":
        raise UsageError(
            "expected a log that others reach, but memory: is this process's"
        )
    workflows = load_workflows(modules)
    from sayiir_es.client.worker import RunningWorker  # noqa: PLC0415 (slow to import)

    worker = RunningWorker(
        worker_id or f"{socket.gethostname()}-{os.getpid()}",
        backend,
        slots=slots,
        tags=None if tags is None else tags_of(tags),
    )
    try:
        return asyncio.run(_serve(worker, workflows, backend))
    finally:
        backend.close()


def tags_of(text: str) -> frozenset[str]:
    """The tags of a list with commas between."""
    return frozenset(tag.strip() for tag in text.split(",") if tag.strip())


async def _serve(
    worker: RunningWorker, workflows: list[Workflow], backend: Backend
) -> int:
    stop = stop_signal()
    names = ", ".join(sorted({one.graph.name for one in workflows}))
    try:
        await worker.start(workflows)
        tune_gc()
        assert worker.engine is not None
        progress = asyncio.create_task(
            _print_progress(
                worker.engine, f"{names} on {backend.url}", worker.worker_id
            )
        )
        await _wait_for_either(stop, worker.engine.refusals.useless)
        refused = dict(worker.engine.refusals.by_partition)
        progress.cancel()
        print_message(f"worker {worker.worker_id} drains", "dim")
    finally:
        await worker.stop()
    if not stop.is_set():
        raise _error_of_useless(worker.worker_id, refused)
    return FAILED if worker.engine.stopped else 0


async def _wait_for_either(*events: asyncio.Event) -> None:
    """Wait until one of them is set."""
    await first_of(*(asyncio.create_task(event.wait()) for event in events))


def _error_of_useless(worker_id: str, refused: Mapping[int, Refusal]) -> WorkflowError:
    """Why a worker ends that can serve nothing of what it is given."""
    refusal = next(iter(refused.values()))
    error = ClockRefusedError if refusal.code == ClockRefusedError.code else StoreError
    return error(
        f"expected worker {worker_id!r} to serve one of partitions "
        f"{sorted(refused)}, but {refusal}"
    )


async def _print_progress(engine: WorkerEngine, what: str, worker_id: str) -> None:
    """Print once that the worker serves, or after a while that it waits."""
    clock = asyncio.get_running_loop().time
    deadline_s = clock() + PATIENCE_S
    while not any(owner.serving for owner in engine.owners.values()):
        if clock() > deadline_s:
            deadline_s = float("inf")
            print_message(
                f"worker {worker_id} waits to be given a partition of {what}", "yellow"
            )
        await asyncio.sleep(LOOK_S)
    print_message(f"worker {worker_id} serves {what}", "bold green")
