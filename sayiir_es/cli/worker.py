"""`sayiir-es worker run`: a process that owns partitions and runs attempts."""

from __future__ import annotations

import asyncio
import importlib
import os
import socket
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, open_backend
from sayiir_es.cli.failures import FAILED
from sayiir_es.cli.output import say
from sayiir_es.cli.serving import stop_signal
from sayiir_es.client.worker import DEFAULT_SLOTS, RunningWorker
from sayiir_es.core.authoring.workflow import Workflow
from sayiir_es.core.model.errors import UsageError
from sayiir_es.engine.gc_tuning import tune_gc

if TYPE_CHECKING:
    from sayiir_es.client.backends import Backend
    from sayiir_es.engine.worker import WorkerEngine

LOOK_S = 0.02
"""How often a worker that starts looks whether it serves."""

PATIENCE_S = 3.0
"""After so long without a partition the worker says what it waits for."""

app = typer.Typer(
    help="Run workers.",
    epilog="Example: sayiir-es worker run examples.orders",
    no_args_is_help=True,
)


@app.callback()
def group() -> None:
    """Run workers."""


@app.command(epilog="Example: sayiir-es worker run examples.orders")
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
    backend: BackendOption = DEFAULT_BACKEND,
) -> int:
    """Own partitions and run the workflows of some modules, until SIGTERM or SIGINT."""
    used = open_backend(backend)
    if used.url == "memory:":
        raise UsageError(
            "expected a log that others reach, but memory: is this process's"
        )
    workflows = load_workflows(modules)
    worker = RunningWorker(
        worker_id or f"{socket.gethostname()}-{os.getpid()}",
        used,
        slots=slots,
        tags=None if tags is None else tags_of(tags),
    )
    try:
        return asyncio.run(_serve(worker, workflows, used))
    finally:
        used.close()


def load_workflows(modules: list[str]) -> list[Workflow]:
    """Every workflow at the top level of the modules, each once.

    Raises:
        UsageError: if a module cannot be found, or has no workflow.
    """
    if os.getcwd() not in sys.path:  # noqa: PTH109 (sys.path holds text)
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    found: dict[int, Workflow] = {}
    for name in modules:
        try:
            module = importlib.import_module(name)
        except (ModuleNotFoundError, TypeError, ValueError) as error:
            missing = getattr(error, "name", None)
            if missing and not (name == missing or name.startswith(f"{missing}.")):
                raise  # the module is there; what it needs is not
            raise UsageError(f"expected a module {name!r}, but {error}") from error
        own = [one for one in vars(module).values() if isinstance(one, Workflow)]
        if not own:
            raise UsageError(
                f"expected a Workflow at the top level of {name!r}, but there is none"
            )
        found.update((id(one), one) for one in own)
    return list(found.values())


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
        telling = asyncio.create_task(
            _tell(worker.engine, f"{names} on {backend.url}", worker.worker_id)
        )
        await stop.wait()
        telling.cancel()
        say(f"worker {worker.worker_id} drains", "dim")
    finally:
        await worker.stop()
    return FAILED if worker.engine.stopped else 0


async def _tell(engine: WorkerEngine, what: str, worker_id: str) -> None:
    """Say once that the worker serves, or after a while that it waits."""
    clock = asyncio.get_running_loop().time
    patient_until_s = clock() + PATIENCE_S
    while not any(owner.serving for owner in engine.owners.values()):
        if clock() > patient_until_s:
            patient_until_s = float("inf")
            say(f"worker {worker_id} waits to be given a partition of {what}", "yellow")
        await asyncio.sleep(LOOK_S)
    say(f"worker {worker_id} serves {what}", "bold green")
