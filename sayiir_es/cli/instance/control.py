"""Verbs that ask an owner for something, and what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import (
    DEFAULT_BACKEND,
    BackendOption,
    IdArgument,
    checked_id,
    in_session,
)
from sayiir_es.cli.failures import refusal
from sayiir_es.cli.output import Format, OutputOption, print_object, write_line
from sayiir_es.cli.typed_json import read_json
from sayiir_es.client.commands import fork_command, new_command_id
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    Command,
    PauseWorkflow,
    RetryWorkflow,
    SendSignal,
    UnpauseWorkflow,
)
from sayiir_es.core.model.events import CommandAcknowledged, CommandRejected, Event
from sayiir_es.wire.event_json import event_to_json
from sayiir_es.wire.payload import encode_payload

if TYPE_CHECKING:
    from sayiir_es.client.session import Session

ReasonOption = Annotated[
    str | None, typer.Option("--reason", help="Recorded in the event.")
]


def signal(
    instance_id: IdArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The signal's name.")],
    *,
    payload: Annotated[
        str,
        typer.Option("--payload", metavar="JSON|@FILE", help="What it carries."),
    ] = "null",
    signal_id: Annotated[
        str | None,
        typer.Option("--signal-id", help="Makes it idempotent: the second is known."),
    ] = None,
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Send a signal; it is buffered until a wait takes it."""
    command = SendSignal(
        instance_id=checked_id(instance_id),
        command_id=new_command_id(),
        signal=checked_id(name),
        payload=encode_payload(read_json(payload, "--payload")),
        signal_id=signal_id,
    )
    _steer(command, backend, output)


def pause(
    instance_id: IdArgument,
    *,
    reason: ReasonOption = None,
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Begin nothing new in an instance; what runs may end first."""
    command = PauseWorkflow(
        instance_id=checked_id(instance_id), command_id=new_command_id(), reason=reason
    )
    _steer(command, backend, output)


def unpause(
    instance_id: IdArgument,
    *,
    reason: ReasonOption = None,
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Let a paused instance go on."""
    command = UnpauseWorkflow(
        instance_id=checked_id(instance_id), command_id=new_command_id(), reason=reason
    )
    _steer(command, backend, output)


def cancel(
    instance_id: IdArgument,
    *,
    reason: ReasonOption = None,
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Cancel an instance; it ends when nothing runs any more."""
    command = CancelWorkflow(
        instance_id=checked_id(instance_id), command_id=new_command_id(), reason=reason
    )
    _steer(command, backend, output)


def retry(
    instance_id: IdArgument,
    *,
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Let a failed instance go on from the node that failed."""
    command = RetryWorkflow(
        instance_id=checked_id(instance_id), command_id=new_command_id()
    )
    _steer(command, backend, output)


def fork(
    instance_id: IdArgument,
    *,
    at: Annotated[
        int,
        typer.Option(
            "--at",
            metavar="SEQ",
            min=1,
            help="The last event that the new instance begins with.",
        ),
    ],
    new_id: Annotated[
        str, typer.Option("--new-id", metavar="ID2", help="The new instance's id.")
    ],
    backend: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Begin a new instance with the history of another one, up to an event."""
    command = fork_command(checked_id(instance_id), at, checked_id(new_id))
    _steer(command, backend, output)


def _steer(command: Command, backend: str, output: Format) -> None:
    """Send a command and print the event that answers it."""
    answer = in_session(backend, lambda session: answer_of(session, command))
    shown = event_to_json(answer)
    if output is not Format.TABLE:
        print_object(shown, output)
        return
    known = ""
    if isinstance(answer.body, CommandAcknowledged):
        known = f" {answer.body.code}"
    write_line(f"{answer.kind}{known} sequence={answer.sequence}")


async def answer_of(session: Session, command: Command) -> Event:
    """The owner's answer; on a local log this process owns it if nobody does.

    Raises:
        WorkflowError: what a refusal means.
    """
    await session.open()
    await session.definitions.refresh()
    async with session.owning():
        answer = await session.send(command)
    if isinstance(answer.body, CommandRejected):
        raise refusal(answer.body)
    return answer
