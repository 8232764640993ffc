"""`sayiir-es worker run`: a process that owns partitions and runs attempts."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, open_backend
from sayiir_es.cli.failures import FAILED
from sayiir_es.cli.output import print_message
from sayiir_es.cli.reload import Reloader
from sayiir_es.cli.serving import first_of, stop_signal, unless_stopped
from sayiir_es.cli.termination import TERMINATION
from sayiir_es.cli.worker_options import (
    CancelGraceOption,
    DrainOption,
    HandoverOption,
    HeartbeatIntervalOption,
    OnShutdownOption,
    OnStartupOption,
    ReloadOption,
    SessionTimeoutOption,
    UntilClosedOption,
    seconds_of,
)
from sayiir_es.cli.workflow_modules import load_workflows
from sayiir_es.core.model.errors import (
    AccessRefusedError,
    ClockRefusedError,
    StoreError,
    UsageError,
    WorkflowError,
)
from sayiir_es.engine.gc_tuning import collect_young, tune_gc
from sayiir_es.engine.worker_settings import configured_drain_s
from sayiir_es.operations.named_functions import load_function

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.client.backends import Backend
    from sayiir_es.client.worker import RunningWorker
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.engine.definitions.capabilities import Refusal
    from sayiir_es.engine.worker import WorkerEngine

_OWN_ERRORS: tuple[type[WorkflowError], ...] = (ClockRefusedError, AccessRefusedError)
"""Of a worker that can serve nothing, beside that of its stores."""

TagsOption = Annotated[
    str | None,
    typer.Option(
        "--tags",
        metavar="TAG[,TAG…]",
        help="Run only tasks whose tags are all among these.",
    ),
]

DEFAULT_SLOTS = 64
"""The client's number for a worker, whose module is slow to import."""

LOOK_S = 0.02
"""How often a worker that starts looks whether it serves."""

PATIENCE_S = 3.0
"""After so long without a partition the worker prints what it waits for."""


def run(  # noqa: PLR0913 (one parameter an option)
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
    tags: TagsOption = None,
    drain: DrainOption = None,
    handover: HandoverOption = None,
    cancel_grace: CancelGraceOption = None,
    session_timeout: SessionTimeoutOption = None,
    heartbeat_interval: HeartbeatIntervalOption = None,
    on_startup: OnStartupOption = None,
    on_shutdown: OnShutdownOption = None,
    reload: ReloadOption = False,
    until_closed: UntilClosedOption = None,
    url: BackendOption = DEFAULT_BACKEND,
) -> int:
    """Own partitions and run the workflows of some modules, until SIGTERM or SIGINT."""
    if reload:
        return _run_again_and_again([*modules, on_startup, on_shutdown], drain)
    backend = open_backend(url, serves=True)
    backend.set_session(
        timeout_s=seconds_of("--session-timeout", session_timeout),
        heartbeat_s=seconds_of("--heartbeat-interval", heartbeat_interval),
    )
    if backend.url == "memory:":
        raise UsageError(
            "expected a log that others reach, but memory: is this process's"
        )
    workflows = load_workflows(modules)
    from sayiir_es.client.worker import running_worker  # noqa: PLC0415 (slow to import)

    worker = running_worker(
        worker_id or f"{socket.gethostname()}-{os.getpid()}",
        backend,
        max_concurrent_tasks=slots,
        drain=seconds_of("--drain", drain),
        handover=seconds_of("--handover", handover),
        cancel_grace=seconds_of("--cancel-grace", cancel_grace),
        tags=None if tags is None else tags_of(tags),
        on_startup=load_function("--on-startup", on_startup),
        on_shutdown=load_function("--on-shutdown", on_shutdown),
    )
    try:
        return asyncio.run(_serve(worker, workflows, backend, until_closed))
    finally:
        backend.close()


def _run_again_and_again(names: list[str | None], drain: str | None) -> int:
    """Run this command in children, of which each ends when a file has changed."""
    modules = [name.partition(":")[0] for name in names if name is not None]
    drain_s = seconds_of("--drain", drain)
    if drain_s is None:
        drain_s = configured_drain_s()
    return Reloader(sys.argv[1:], modules, drain_s).run()


def tags_of(text: str) -> frozenset[str]:
    """The tags of a list with commas between."""
    return frozenset(tag.strip() for tag in text.split(",") if tag.strip())


async def _serve(
    worker: RunningWorker,
    workflows: list[Workflow],
    backend: Backend,
    until_closed: int | None,
) -> int:
    stop = stop_signal()
    if until_closed is not None:
        asyncio.get_running_loop().add_reader(until_closed, _end, stop, until_closed)
    names = ", ".join(sorted({one.graph.name for one in workflows}))
    refused: dict[int, Refusal] = {}
    try:
        await unless_stopped(stop, worker.start(workflows))
        if stop.is_set():
            return 0
        tune_gc()
        collecting = asyncio.create_task(collect_young())
        assert worker.engine is not None
        progress = asyncio.create_task(
            _print_progress(
                worker.engine, f"{names} on {backend.url}", worker.worker_id
            )
        )
        await _wait_for_either(stop, worker.engine.refusals.useless)
        refused = dict(worker.engine.refusals.by_partition)
        progress.cancel()
        collecting.cancel()
        print_message(f"worker {worker.worker_id} drains", "dim")
    finally:
        TERMINATION.extend(worker.drain_limit_s())
        await worker.stop()
    if not stop.is_set():
        raise _error_of_useless(worker.worker_id, refused)
    return FAILED if worker.engine.stopped else 0


def _end(stop: asyncio.Event, until_closed: int) -> None:
    asyncio.get_running_loop().remove_reader(until_closed)
    stop.set()


async def _wait_for_either(*events: asyncio.Event) -> None:
    """Wait until one of them is set."""
    await first_of(*(asyncio.create_task(event.wait()) for event in events))


def _error_of_useless(worker_id: str, refused: Mapping[int, Refusal]) -> WorkflowError:
    """Why a worker ends that can serve nothing of what it is given."""
    refusal = next(iter(refused.values()))
    error = next(
        (one for one in _OWN_ERRORS if one.code == refusal.code),
        StoreError,
    )
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
