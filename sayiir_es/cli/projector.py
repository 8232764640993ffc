"""`sayiir-es projector run`: folds partitions into RocksDB, and owns nothing."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, open_backend
from sayiir_es.cli.failures import FAILED
from sayiir_es.cli.output import print_message
from sayiir_es.cli.serving import first_of, stop_signal, unless_stopped
from sayiir_es.cli.web_extra import load_web
from sayiir_es.cli.worker_options import (
    HttpOption,  # noqa: TC001 - typer reads it at run time
)
from sayiir_es.core.model.errors import UsageError, WorkflowError
from sayiir_es.engine.store.state_dir import StateSlot, default_state_dir

if TYPE_CHECKING:
    from sayiir_es.client.backends import Backend
    from sayiir_es.engine.projector import Projector
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.web.projector_http import ProjectorHttp


_RANGE = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")


def run(
    *,
    partitions: Annotated[
        str | None,
        typer.Option("--partitions", metavar="0,2-3", help="Which; all when left out."),
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            "--state-dir",
            metavar="DIR",
            envvar="SAYIIR_STATE_DIR",
            help="Where its stores go; the user's folder for state when left out.",
        ),
    ] = None,
    http: HttpOption = None,
    url: BackendOption = DEFAULT_BACKEND,
) -> int:
    """Fold events into RocksDB until SIGTERM; `instance show --state-dir` reads it."""
    backend = open_backend(url, serves=True)
    from sayiir_es.client.backends import KafkaBackend  # noqa: PLC0415 (slow to import)

    app_name = backend.app if isinstance(backend, KafkaBackend) else "local"
    folder = state_dir or default_state_dir() / "projector"
    observer = None if http is None else _observer_at(http)
    try:
        return asyncio.run(_run(backend, (folder, app_name), partitions, observer))
    finally:
        backend.close()


def _observer_at(address: str) -> ProjectorHttp:
    """What answers for a projector's health and metrics at HOST:PORT.

    Raises:
        UsageError: if it is no address, or the packages for it are not installed.
    """
    load_web()
    from sayiir_es.web.projector_http import ProjectorHttp  # noqa: PLC0415 (an extra)

    return ProjectorHttp(address)


async def _run(
    backend: Backend,
    place: tuple[Path, str],
    partitions: str | None,
    observer: ProjectorHttp | None,
) -> int:
    if observer is None:
        return await _fold(backend, place, partitions, None)
    await observer.begin()
    try:
        print_message(f"health and metrics on {observer.address}")
        return await _fold(backend, place, partitions, observer)
    finally:
        await observer.close()


async def _fold(
    backend: Backend,
    place: tuple[Path, str],
    partitions: str | None,
    observer: ProjectorHttp | None,
) -> int:
    from sayiir_es.client.backend_port import (  # noqa: PLC0415 (slow to import)
        WORKER_CONNECT_LIMIT_S,
    )
    from sayiir_es.client.stores import (  # noqa: PLC0415 (slow to import)
        open_rocks_store,
        store_identity,
    )
    from sayiir_es.engine.projector import Projector  # noqa: PLC0415 (slow to import)

    stop = stop_signal()
    log = backend.open_log(connect_limit_s=WORKER_CONNECT_LIMIT_S)
    identity = await unless_stopped(stop, log.open(create=False))
    if identity is None:
        return 0
    try:
        numbers = partitions_of(partitions, identity.partitions)
        # Not before there is something to fold: a mistyped app leaves no folder.
        slot = StateSlot.take(*place)
    except WorkflowError:
        await log.close()
        raise

    async def open_store(partition: int) -> SnapshotStore:
        return open_rocks_store(
            slot.partition_path(partition), store_identity(identity, partition)
        )

    projector = Projector(log, open_store)
    try:
        projector.start(numbers)
        if observer is not None:
            observer.watch(projector, log)
        print_message(
            f"projector folds partitions {numbers} of {backend.url} into {slot.path}"
        )
        progress = asyncio.create_task(_print_caught_up(projector))
        await first_of(
            asyncio.create_task(stop.wait()),
            asyncio.create_task(projector.wait_until_ended()),
        )
        progress.cancel()
    finally:
        await projector.stop()
        await log.close()
        slot.close()
    return FAILED if projector.stopped else 0


async def _print_caught_up(projector: Projector) -> None:
    await projector.wait_until_caught_up()
    print_message("projector has caught up and follows", "bold green")


def partitions_of(text: str | None, count: int) -> list[int]:
    """The partitions that `0,2-3` means, of `count`; all for None.

    Raises:
        UsageError: if it means none, or one that the log does not have.
    """
    if text is None:
        return list(range(count))
    numbers: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise UsageError(f"expected partitions like 0,2-3, but {text!r}")
        first = int(match[1])
        numbers.update(range(first, int(match[2] or first) + 1))
    if not numbers or max(numbers) >= count:
        raise UsageError(f"expected partitions of 0 to {count - 1}, but {text!r}")
    return sorted(numbers)
