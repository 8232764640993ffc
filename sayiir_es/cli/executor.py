"""`sayiir-es executor run`: a process that runs attempts and owns nothing."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, open_backend
from sayiir_es.cli.output import print_message
from sayiir_es.cli.serving import stop_signal, unless_stopped
from sayiir_es.cli.termination import TERMINATION
from sayiir_es.cli.worker_options import (
    DEFAULT_SLOTS,
    DrainOption,
    OnShutdownOption,
    OnStartupOption,
    ProcessesOption,
    ProcessMemoryOption,
    SlotsOption,
    TagsOption,
    bytes_of,
    refuse_memory,
    seconds_of,
    tags_of,
)
from sayiir_es.cli.workflow_modules import load_workflows
from sayiir_es.operations.named_functions import load_function

if TYPE_CHECKING:
    from sayiir_es.client.running_executor import RunningExecutor
    from sayiir_es.core.authoring.workflow import Workflow


def run(  # noqa: PLR0913 (one parameter an option)
    modules: Annotated[
        list[str],
        typer.Argument(
            metavar="MODULE…",
            help="Importable Python; the tasks of every Workflow at its top level are "
            "offered.",
        ),
    ],
    *,
    executor_id: Annotated[
        str | None,
        typer.Option(
            "--executor-id", help="Its name in events; made up when left out."
        ),
    ] = None,
    slots: SlotsOption = DEFAULT_SLOTS,
    prefetch: Annotated[
        int | None,
        typer.Option(
            "--prefetch",
            min=0,
            help="Attempts that may wait here beside those that run; as many as run.",
        ),
    ] = None,
    tags: TagsOption = None,
    drain: DrainOption = None,
    processes: ProcessesOption = None,
    process_memory: ProcessMemoryOption = None,
    on_startup: OnStartupOption = None,
    on_shutdown: OnShutdownOption = None,
    url: BackendOption = DEFAULT_BACKEND,
) -> int:
    """Run attempts that workers elsewhere decide, and own nothing, until SIGTERM or SIGINT."""  # noqa: E501
    backend = open_backend(url, serves=True)
    refuse_memory(backend)
    workflows = load_workflows(modules)
    from sayiir_es.client.executor import running_executor  # noqa: PLC0415 (slow)

    executor = running_executor(
        executor_id or socket.gethostname(),
        backend,
        max_concurrent_tasks=slots,
        prefetch=prefetch,
        drain=seconds_of("--drain", drain),
        tags=None if tags is None else tags_of(tags),
        processes=processes,
        process_memory=bytes_of("--process-memory", process_memory),
        on_startup=load_function("--on-startup", on_startup),
        on_shutdown=load_function("--on-shutdown", on_shutdown),
    )
    try:
        asyncio.run(_serve(executor, workflows, backend.url))
    finally:
        backend.close()
    return 0


async def _serve(
    executor: RunningExecutor, workflows: list[Workflow], url: str
) -> None:
    """Run attempts until the process is to end; then drain."""
    stop = stop_signal()
    try:
        await unless_stopped(stop, executor.start(workflows))
        if not stop.is_set():
            names = ", ".join(sorted({one.graph.name for one in workflows}))
            print_message(
                f"executor {executor.executor_id} runs tasks of {names} on {url}",
                "bold green",
            )
            await stop.wait()
            print_message(f"executor {executor.executor_id} drains", "dim")
    finally:
        TERMINATION.extend(executor.drain_limit_s())
        await executor.stop()
