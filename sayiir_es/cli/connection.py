"""The backend that a command talks to, and a session on it for as long as it lasts."""

from __future__ import annotations

import asyncio
import functools
import inspect
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from sayiir_es.cli.environment import configure_logs
from sayiir_es.cli.tracing import export_spans
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
KafkaConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--kafka-config",
        metavar="FILE",
        help="A client.properties that says how brokers are reached; by default the "
        "one that SAYIIR_KAFKA_CONFIG names.",
    ),
]
KAFKA_CONFIG: ContextVar[Path | None] = ContextVar("kafka_config", default=None)
"""What this option says; every command with a backend has it."""

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
        SettingsError: if the file of `--kafka-config` cannot be used.
    """
    configure_logs(serves=serves)
    export_spans(_log_warning if serves else _print_warning)
    from sayiir_es.client.backends import (  # noqa: PLC0415 (slow to import)
        backend_from_url,
    )

    try:
        backend = backend_from_url(url, kafka_config=KAFKA_CONFIG.get())
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not serves:  # one that serves logs what it waits for, and what is set in vain
        backend.on_notice = _print_notice
        for warning in backend.warnings():
            _print_warning(warning)
    return backend


def _log_warning(text: str) -> None:
    from sayiir_es.telemetry import get_logger  # noqa: PLC0415 (slow to import)

    get_logger(__name__).warning("tracing.limited", reason=text)


def _print_warning(text: str) -> None:
    _print_notice(f"warning: {text}")


def _print_notice(text: str) -> None:
    from sayiir_es.cli.console import show_message  # noqa: PLC0415 (slow to import)

    show_message(text, "yellow")


def with_kafka_config(command: Callable[..., object]) -> Callable[..., object]:
    """A command with the option of `KafkaConfigOption`, if it has a backend."""
    if "url" not in inspect.signature(command).parameters:
        return command
    signature = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def run(*arguments: object, kafka_config: Path | None, **options: object) -> object:
        KAFKA_CONFIG.set(kafka_config)
        return command(*arguments, **options)

    option = inspect.Parameter(
        "kafka_config",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=KafkaConfigOption,
    )
    parameters = [*signature.parameters.values(), option]
    # What typer reads of a function, in place of a hundred repetitions.
    setattr(  # noqa: B010 (no attribute of a function's type)
        run, "__signature__", signature.replace(parameters=parameters)
    )
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


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
