"""`sayiir-es dev`: all that one needs to see workflows run, by one command.

Theory of operation. The process of the command takes the port, and hands it to a child
that runs worker, pages and API; at a change of the code another child follows, on the
same port, so that browsers wait for it and find it. The sample shop never changes: it
runs in the process of the command.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import open_backend
from sayiir_es.cli.output import print_message
from sayiir_es.cli.reload import Reloader
from sayiir_es.cli.serve import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    HostOption,
    PortOption,
    ReadTokenFileOption,
    TokenFileOption,
)
from sayiir_es.cli.serving_worker import LOOK_S, is_serving, serve_worker
from sayiir_es.cli.web_extra import load_web
from sayiir_es.cli.worker_options import (  # noqa: TC001 (typer reads them)
    OnShutdownOption,
    OnStartupOption,
    UntilClosedOption,
)
from sayiir_es.cli.workflow_modules import load_workflows
from sayiir_es.engine.owner import failure_lines
from sayiir_es.engine.worker_settings import configured_drain_s
from sayiir_es.operations.named_functions import load_function
from sayiir_es.operations.worker_monitor import WorkerMonitor

if TYPE_CHECKING:
    from sayiir_es.cli.serving_worker import Beside
    from sayiir_es.client.backends import Backend
    from sayiir_es.client.worker import RunningWorker
    from sayiir_es.web.settings import WebSettings

SAMPLE = "sayiir_es.cli.dev.sample_shop"

FILE = Path(".sayiir/log.db")
"""Where every other command looks, too, when it is told nothing."""

SAMPLE_FILE = Path(".sayiir/sample.db")
"""Apart from it: what one starts oneself is not mixed with the sample's orders."""

LISTENER = "--listener"

FileOption = Annotated[
    Path | None,
    typer.Option(
        "--file",
        metavar="PATH",
        help=f"The log; {FILE} if left out, or {SAMPLE_FILE} without a module.",
    ),
]
ListenerOption = Annotated[int | None, typer.Option(LISTENER, hidden=True)]
"""The socket of the process that started this one."""


def dev(  # noqa: PLR0913 (one parameter an option)
    modules: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODULE…]",
            help="Importable Python with workflows; a sample shop if left out.",
        ),
    ] = None,
    *,
    file: FileOption = None,
    host: HostOption = DEFAULT_HOST,
    port: PortOption = DEFAULT_PORT,
    token_file: TokenFileOption = None,
    read_token_file: ReadTokenFileOption = None,
    on_startup: OnStartupOption = None,
    on_shutdown: OnShutdownOption = None,
    until_closed: UntilClosedOption = None,
    listener_fd: ListenerOption = None,
) -> int:
    """Run workflows with worker, pages and API in one process, on a log in one file.

    When a file of the modules, or of their packages, changes, it begins again with the
    new code; what runs goes on.
    """
    load_web()
    from sayiir_es.web.security.access import check_binding  # noqa: PLC0415 (an extra)
    from sayiir_es.web.server import address_of, listen  # noqa: PLC0415 (an extra)
    from sayiir_es.web.settings import read_web_settings  # noqa: PLC0415 (an extra)

    settings = read_web_settings(token_file=token_file, read_token_file=read_token_file)
    if listener_fd is not None:
        listener = socket.socket(fileno=listener_fd)
    else:
        listener = listen(host, port)
        check_binding(settings, listener.getsockname()[0])
        print_message(f"pages and API: {address_of(listener)}", "bold green")
        if modules:
            return _run_again_and_again(
                [*modules, on_startup, on_shutdown], listener.fileno()
            )
    backend = open_backend(
        f"file:{file or (FILE if modules else SAMPLE_FILE)}", serves=True
    )
    workflows = load_workflows(modules or [SAMPLE])
    worker = _worker(backend, on_startup, on_shutdown)
    monitor = WorkerMonitor()
    worker.observer = monitor
    beside = [_pages(backend, settings, listener, monitor)]
    if not modules:
        beside.append(_customers(backend, worker))
        # Its failures are meant, and shown by the pages.
        logging.getLogger(failure_lines.__name__).setLevel(logging.CRITICAL)
        print_message(
            f"orders of a sample shop; log: {backend.url} (for other commands: "
            f"export SAYIIR_BACKEND={backend.url})",
            "dim",
        )
    try:
        return asyncio.run(
            serve_worker(worker, workflows, backend, until_closed, beside=beside)
        )
    finally:
        backend.close()


def _worker(
    backend: Backend, on_startup: str | None, on_shutdown: str | None
) -> RunningWorker:
    from sayiir_es.client.worker import running_worker  # noqa: PLC0415 (slow to import)

    return running_worker(
        f"dev-{os.getpid()}",
        backend,
        on_startup=load_function("--on-startup", on_startup),
        on_shutdown=load_function("--on-shutdown", on_shutdown),
    )


def _run_again_and_again(names: list[str | None], listener_fd: int) -> int:
    """Run this command in children, of which each ends when a file has changed."""
    modules = [name.partition(":")[0] for name in names if name is not None]
    arguments = [*sys.argv[1:], LISTENER, str(listener_fd)]
    return Reloader(
        arguments, modules, configured_drain_s(), inherited=[listener_fd]
    ).run()


def _pages(
    backend: Backend,
    settings: WebSettings,
    listener: socket.socket,
    monitor: WorkerMonitor,
) -> Beside:
    """What serves pages and API, and the worker's health, until it has drained."""
    from sayiir_es.web import server  # noqa: PLC0415 (an extra)
    from sayiir_es.web.app import create_app  # noqa: PLC0415 (an extra)

    async def serve(drained: asyncio.Event) -> None:
        app = create_app(backend, settings, ending=drained, monitor=monitor)
        await server.serve(app, listener, drained)

    return serve


def _customers(backend: Backend, worker: RunningWorker) -> Beside:
    """What orders from the sample shop until the worker is to end."""
    from sayiir_es.cli.dev.customers import Customers  # noqa: PLC0415 (slow to import)

    async def run(drained: asyncio.Event) -> None:
        # Before that a client would own the log itself, and the worker wait for it.
        while not is_serving(worker) and not drained.is_set():  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
        ordering = asyncio.create_task(Customers(backend).run())
        ending = asyncio.create_task(drained.wait())
        await asyncio.wait((ordering, ending), return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not ordering.done():
            ordering.cancel()
        with suppress(asyncio.CancelledError):
            await ordering

    return run
