"""`sayiir-es instance start`: begin an instance of a published workflow."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import (
    DEFAULT_BACKEND,
    BackendOption,
    checked_id,
    in_session,
)
from sayiir_es.cli.failures import FAILED
from sayiir_es.cli.instance.attributes import attributes_of
from sayiir_es.cli.instance.view import print_status
from sayiir_es.cli.instance.waiting import (
    TimeoutOption,
    not_ended,
    timeout_seconds,
)
from sayiir_es.cli.output import Format, OutputOption, print_message, print_object
from sayiir_es.cli.typed_json import read_json
from sayiir_es.client.commands import start_command
from sayiir_es.client.debounced_starts import debounce_of, debounced, quiet_text
from sayiir_es.core.graph.versions import checked_version
from sayiir_es.core.model.commands import ConflictPolicy
from sayiir_es.core.model.errors import UsageError
from sayiir_es.core.status.status import ENDED
from sayiir_es.operations.owner_answers import ask_owner

if TYPE_CHECKING:
    from sayiir_es.client.debounced_starts import Debounce
    from sayiir_es.client.session import Session
    from sayiir_es.core.model.commands import DebounceStart
    from sayiir_es.core.status.status import Status


VersionOption = Annotated[
    str | None, typer.Option("--version", help="The greatest one when left out.")
]
PolicyOption = Annotated[
    ConflictPolicy,
    typer.Option("--conflict-policy", help="What an existing instance means."),
]


DebounceOption = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Start once no other start came for so long, such as 5s.",
    ),
]
DebounceKeyOption = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="Which starts are one burst; all of the name."),
]
DebounceMaxOption = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="The longest that a burst delays its start."),
]


def start(  # noqa: PLR0913 (one parameter an option)
    workflow: Annotated[
        str, typer.Argument(metavar="NAME", help="A published workflow.")
    ],
    *,
    instance_id: Annotated[
        str | None, typer.Option("--id", help="Its id; made up when left out.")
    ] = None,
    value: Annotated[
        str,
        typer.Option(
            "--input", metavar="JSON|@FILE", help="Its input; @- reads stdin."
        ),
    ] = "null",
    policy: PolicyOption = "fail",
    version: VersionOption = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            "--attribute",
            metavar="KEY=VALUE",
            help="To search by; may be repeated.",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it has ended; a worker runs it.")
    ] = False,
    timeout: TimeoutOption = None,
    debounce: DebounceOption = None,
    debounce_key: DebounceKeyOption = None,
    debounce_max: DebounceMaxOption = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> int:
    """Start an instance of a workflow, by its name."""
    timeout_s = timeout_seconds(timeout, wait=wait)
    new_id = _new_id(workflow) if instance_id is None else checked_id(instance_id)
    command = start_command(
        workflow,
        new_id,
        read_json(value, "--input"),
        policy=policy,
        attributes=attributes_of(attribute),
    )
    command = replace(command, version=_checked(version))
    waiting = _debounce(debounce, debounce_key, debounce_max, wait=wait)
    if waiting is not None:
        return _start_later(url, debounced(command, waiting), output)

    async def work(session: Session) -> Status:
        await session.wait_for_name(workflow, version)
        await ask_owner(session, command)
        if wait:
            print_message(f"waiting for {new_id}", "dim")
            with suppress(TimeoutError):
                return await session.wait(new_id, timeout_s=timeout_s)
        return await session.get_status(new_id)

    status = in_session(url, work)
    print_status(status, output)
    return _exit_code(status, timeout) if wait else 0


def _debounce(
    quiet: str | None, key: str | None, most: str | None, *, wait: bool
) -> Debounce | None:
    try:
        debounce = debounce_of(quiet, key, most)
    except ValueError as error:
        raise UsageError(f"for --debounce: {error}") from error
    if debounce is not None and wait:
        raise UsageError("expected no --wait with --debounce: the start comes later")
    return debounce


def _start_later(url: str, command: DebounceStart, output: Format) -> int:
    async def work(session: Session) -> None:
        await session.wait_for_name(command.workflow, command.version)
        await ask_owner(session, command)

    in_session(url, work)
    print_object(
        {
            "instance_id": command.start_id,
            "workflow": command.workflow,
            "status": "submitted",
            "waiting_for": quiet_text(command),
        },
        output,
    )
    return 0


def _checked(version: str | None) -> str | None:
    try:
        return checked_version(version)
    except ValueError as error:
        raise UsageError(f"for --version: {error}") from error


def _new_id(workflow: str) -> str:
    return f"{workflow[:100]}-{secrets.token_hex(4)}"


def _exit_code(status: Status, timeout: str | None) -> int:
    """The exit code of a start that waited for an end."""
    if status.status not in ENDED:
        return not_ended(status, timeout)
    return 0 if status.status == "completed" else FAILED
