"""The control of instances (cancel, pause, retry, …), as coroutines over a session."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from sayiir_es.client.commands import Migration, fork_command, new_command_id
from sayiir_es.client.instance_ids import id_text, new_instance_id
from sayiir_es.client.rejections import not_found
from sayiir_es.client.workflow_status import WorkflowStatus, workflow_status
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    PauseWorkflow,
    RetryWorkflow,
    SendSignal,
    UnpauseWorkflow,
)
from sayiir_es.core.model.errors import CommandRefusedError

if TYPE_CHECKING:
    from uuid import UUID

    from sayiir_es.client.session import Session


async def cancel(
    session: Session, instance_id: str | UUID, reason: str | None, by: str | None
) -> None:
    """Ask for an instance to be cancelled."""
    await _control(
        session,
        CancelWorkflow(
            instance_id=id_text(instance_id),
            command_id=new_command_id(),
            reason=reason,
            requested_by=by,
        ),
    )


async def pause(
    session: Session, instance_id: str | UUID, reason: str | None, by: str | None
) -> None:
    """Ask for an instance to be paused."""
    await _control(
        session,
        PauseWorkflow(
            instance_id=id_text(instance_id),
            command_id=new_command_id(),
            reason=reason,
            requested_by=by,
        ),
    )


async def unpause(session: Session, instance_id: str | UUID) -> None:
    """Let a paused instance go on."""
    await _control(
        session,
        UnpauseWorkflow(instance_id=id_text(instance_id), command_id=new_command_id()),
    )


class Unchanged(enum.Enum):
    """Stands for the input that a node had."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


async def retry(
    session: Session,
    instance_id: str | UUID,
    new_input: object,
    reason: str | None,
    by: str | None,
) -> None:
    """Let a failed instance go on from the node that failed."""
    data = None
    if new_input is not UNCHANGED:
        data = session.payloads.encode(new_input)
    await _control(
        session,
        RetryWorkflow(
            instance_id=id_text(instance_id),
            command_id=new_command_id(),
            input=data,
            reason=reason,
            requested_by=by,
        ),
    )


async def migrate(
    session: Session, instance_id: str | UUID, migration: Migration
) -> WorkflowStatus:
    """Let an instance go on with another graph; its status behind that."""
    target = id_text(instance_id)
    if not target:
        raise not_found("")
    await session.execute(migration.command(target))
    return workflow_status(await session.get_status(target), session.payloads)


async def fork(
    session: Session, instance_id: str | UUID, sequence: int, new_id: str | UUID
) -> WorkflowStatus:
    """Begin an instance with the first events of another one."""
    source, target = new_instance_id(instance_id), new_instance_id(new_id, "new_id")
    await session.execute(fork_command(source, sequence, target))
    return workflow_status(await session.get_status(target), session.payloads)


async def send_signal(
    session: Session,
    instance_id: str | UUID,
    signal: str,
    payload: object,
    *,
    signal_id: str | None = None,
    raises_if_ended: bool = True,
) -> None:
    """Send a signal; buffered until a wait takes it.

    Raises:
        CommandRefusedError: if the instance has ended and `raises_if_ended`.
    """
    command = SendSignal(
        instance_id=id_text(instance_id),
        command_id=new_command_id(),
        signal=signal,
        payload=session.payloads.encode(payload),
        signal_id=signal_id,
    )
    try:
        await session.execute(command)
    except CommandRefusedError as error:
        if raises_if_ended or error.rejection != "terminal":
            raise


async def _control(
    session: Session,
    command: CancelWorkflow | PauseWorkflow | UnpauseWorkflow | RetryWorkflow,
) -> None:
    if not command.instance_id:
        raise not_found("")
    await session.execute(command)
