"""What the owner of an instance answers to a command: a decision, or an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import (
    CommandRefusedError,
    InstanceAlreadyExistsError,
    NotFoundError,
    WorkflowError,
)

if TYPE_CHECKING:
    from sayiir_es.client.session import Session
    from sayiir_es.core.model.commands import Command
    from sayiir_es.wire.requests import Decided


async def ask_owner(session: Session, command: Command) -> Decided:
    """Send a command and return the owner's answer.

    On a local log this process owns the log for the call if nobody does.

    Raises:
        WorkflowError: if the owner rejects the command.
    """
    await session.open()
    decided = await session.send(command)
    if decided.event == "CommandRejected":
        raise error_of_rejection(decided)
    return decided


def error_of_rejection(rejection: Decided) -> WorkflowError:
    """The error for a command that its owner rejected."""
    match rejection.code:
        case "not_found":
            return NotFoundError(rejection.message)
        case "already_exists":
            return InstanceAlreadyExistsError(rejection.message)
        case code:
            return CommandRefusedError(rejection.message, rejection=code)
