"""`sayiir-es worker run`: a process that owns partitions and runs attempts."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, open_backend
from sayiir_es.cli.output import print_message
from sayiir_es.cli.reload import Reloader
from sayiir_es.cli.serving_worker import serve_worker
from sayiir_es.cli.web_extra import load_web
from sayiir_es.cli.worker_options import (
    DEFAULT_SLOTS,
    CancelGraceOption,
    DrainOption,
    GroupInstanceIdOption,
    HandoverOption,
    HeartbeatIntervalOption,
    HttpOption,
    OnShutdownOption,
    OnStartupOption,
    ProcessesOption,
    ProcessMemoryOption,
    ReloadOption,
    SessionTimeoutOption,
    SlotsOption,
    TagsOption,
    UntilClosedOption,
    bytes_of,
    refuse_memory,
    seconds_of,
    tags_of,
)
from sayiir_es.cli.workflow_modules import load_workflows
from sayiir_es.engine.worker_settings import configured_drain_s
from sayiir_es.operations.named_functions import load_function

if TYPE_CHECKING:
    from sayiir_es.client.worker_observer import WorkerObserver


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
    slots: SlotsOption = DEFAULT_SLOTS,
    tags: TagsOption = None,
    drain: DrainOption = None,
    handover: HandoverOption = None,
    cancel_grace: CancelGraceOption = None,
    processes: ProcessesOption = None,
    process_memory: ProcessMemoryOption = None,
    session_timeout: SessionTimeoutOption = None,
    heartbeat_interval: HeartbeatIntervalOption = None,
    group_instance_id: GroupInstanceIdOption = None,
    on_startup: OnStartupOption = None,
    on_shutdown: OnShutdownOption = None,
    http: HttpOption = None,
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
        group_instance_id=group_instance_id,
    )
    refuse_memory(backend)
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
        processes=processes,
        process_memory=bytes_of("--process-memory", process_memory),
        on_startup=load_function("--on-startup", on_startup),
        on_shutdown=load_function("--on-shutdown", on_shutdown),
        observer=None if http is None else observer_at(http),
    )
    try:
        return asyncio.run(serve_worker(worker, workflows, backend, until_closed))
    finally:
        backend.close()


def observer_at(address: str) -> WorkerObserver:
    """What answers for a worker's health and metrics at HOST:PORT.

    Raises:
        UsageError: if it is no address, or the packages for it are not installed.
    """
    load_web()
    from sayiir_es.web.worker_http import WorkerHttp  # noqa: PLC0415 (an extra)

    return WorkerHttp(
        address, tell=lambda url: print_message(f"health and metrics on {url}")
    )


def _run_again_and_again(names: list[str | None], drain: str | None) -> int:
    """Run this command in children, of which each ends when a file has changed."""
    modules = [name.partition(":")[0] for name in names if name is not None]
    drain_s = seconds_of("--drain", drain)
    if drain_s is None:
        drain_s = configured_drain_s()
    return Reloader(sys.argv[1:], modules, drain_s).run()
