"""The backend that a command talks to, and a session on it for as long as it lasts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from sayiir_es.cli.environment import configure_logs
from sayiir_es.core.model.errors import UsageError
from sayiir_es.core.model.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sayiir_es.client.backends import Backend
    from sayiir_es.client.session import Session

T = TypeVar("T")

BackendOption = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="URL",
        envvar="SAYIIR_BACKEND",
        help="memory:, file:PATH or kafka://HOST:PORT/APP.",
    ),
]
DEFAULT_BACKEND = "file:.sayiir/log.db"
"""`DEFAULT_URL` of the client, which is slow to import."""

StateDirOption = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        metavar="DIR",
        help="Answer from the stores that a projector or worker keeps there; asks no "
        "log.",
    ),
]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The instance id.")]


def open_backend(url: str, *, serves: bool = False) -> Backend:
    """The backend that a URL names; from here on a command may log.

    Args:
        url: as typed.
        serves: whether the command runs on and logs what it does.

    Raises:
        UsageError: if the URL names no backend.
    """
    configure_logs(serves=serves)
    from sayiir_es.client.backends import (  # noqa: PLC0415 (slow to import)
        backend_from_url,
    )

    try:
        return backend_from_url(url)
    except ValueError as error:
        raise UsageError(str(error)) from error


def in_session(url: str, work: Callable[[Session], Coroutine[object, object, T]]) -> T:
    """Run `work` with a session on the backend, and give everything back."""
    backend = open_backend(url)
    from sayiir_es.client.session import Session  # noqa: PLC0415 (slow to import)

    async def body() -> T:
        session = Session(backend)
        try:
            return await work(session)
        finally:
            await session.close()

    try:
        return asyncio.run(body())
    finally:
        backend.close()


def checked_id(instance_id: str) -> str:
    """An instance id as typed, if an owner would take it.

    Raises:
        UsageError: if it is empty, too long, or no text.
    """
    try:
        size = len(instance_id.encode())
    except UnicodeEncodeError as error:
        raise UsageError(f"expected an id in UTF-8, but {instance_id!r}") from error
    if not 0 < size <= DEFAULT_LIMITS.id_bytes:
        raise UsageError(
            f"expected an id of 1 to {DEFAULT_LIMITS.id_bytes} bytes, but {size}"
        )
    return instance_id
