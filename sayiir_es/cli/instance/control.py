"""The verbs of `sayiir-es instance` that ask the owner for a decision."""

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
from sayiir_es.cli.failures import error_of_rejection
from sayiir_es.cli.output import Format, OutputOption, print_object
from sayiir_es.cli.stdout import write_line
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
    url: BackendOption = DEFAULT_BACKEND,
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
    _send(command, url, output)


def pause(
    instance_id: IdArgument,
    *,
    reason: ReasonOption = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Begin nothing new in an instance; what runs may end first."""
    command = PauseWorkflow(
        instance_id=checked_id(instance_id), command_id=new_command_id(), reason=reason
    )
    _send(command, url, output)


def unpause(
    instance_id: IdArgument,
    *,
    reason: ReasonOption = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Let a paused instance go on."""
    command = UnpauseWorkflow(
        instance_id=checked_id(instance_id), command_id=new_command_id(), reason=reason
    )
    _send(command, url, output)


def cancel(
    instance_id: IdArgument,
    *,
    reason: ReasonOption = None,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Cancel an instance; it ends when nothing runs any more."""
    command = CancelWorkflow(
        instance_id=checked_id(instance_id), command_id=new_command_id(), reason=reason
    )
    _send(command, url, output)


def retry(
    instance_id: IdArgument,
    *,
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Let a failed instance go on from the node that failed."""
    command = RetryWorkflow(
        instance_id=checked_id(instance_id), command_id=new_command_id()
    )
    _send(command, url, output)


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
    url: BackendOption = DEFAULT_BACKEND,
    output: OutputOption = Format.TABLE,
) -> None:
    """Begin a new instance with the history of another one, up to an event."""
    command = fork_command(checked_id(instance_id), at, checked_id(new_id))
    _send(command, url, output)


def _send(command: Command, url: str, output: Format) -> None:
    """Send a command and print the event that answers it."""
    answer = in_session(url, lambda session: ask_owner(session, command))
    if output is not Format.TABLE:
        print_object(event_to_json(answer), output)
        return
    code = ""
    if isinstance(answer.body, CommandAcknowledged):
        code = f" {answer.body.code}"
    write_line(f"{answer.kind}{code} sequence={answer.sequence}")


async def ask_owner(session: Session, command: Command) -> Event:
    """Send a command and return the owner's answer.

    On a local log this process owns the log for the call if nobody does.

    Raises:
        WorkflowError: if the owner rejects the command.
    """
    await session.open()
    await session.definitions.refresh()
    async with session.owning():
        answer = await session.send(command)
    if isinstance(answer.body, CommandRejected):
        raise error_of_rejection(answer.body)
    return answer
