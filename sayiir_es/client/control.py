"""The control of instances (cancel, pause, retry, …), as coroutines over a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.client.commands import fork_command, new_command_id
from sayiir_es.client.rejections import check_instance_id
from sayiir_es.client.workflow_status import WorkflowStatus, workflow_status
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    PauseWorkflow,
    RetryWorkflow,
    SendSignal,
    UnpauseWorkflow,
)
from sayiir_es.core.model.errors import BackendError, CommandRefusedError
from sayiir_es.wire.payload import encode_payload
from sayiir_es.wire.pydantic_models import dump_models

if TYPE_CHECKING:
    from sayiir_es.client.session import Session


async def cancel(
    session: Session, instance_id: str, reason: str | None, by: str | None
) -> None:
    """Ask for an instance to be cancelled."""
    await _control(
        session,
        CancelWorkflow(
            instance_id=instance_id,
            command_id=new_command_id(),
            reason=reason,
            requested_by=by,
        ),
    )


async def pause(
    session: Session, instance_id: str, reason: str | None, by: str | None
) -> None:
    """Ask for an instance to be paused."""
    await _control(
        session,
        PauseWorkflow(
            instance_id=instance_id,
            command_id=new_command_id(),
            reason=reason,
            requested_by=by,
        ),
    )


async def unpause(session: Session, instance_id: str) -> None:
    """Let a paused instance go on."""
    await _control(
        session,
        UnpauseWorkflow(instance_id=instance_id, command_id=new_command_id()),
    )


async def retry(session: Session, instance_id: str) -> None:
    """Let a failed instance go on from the node that failed."""
    await _control(
        session,
        RetryWorkflow(instance_id=instance_id, command_id=new_command_id()),
    )


async def fork(
    session: Session, instance_id: str, sequence: int, new_id: str
) -> WorkflowStatus:
    """Begin an instance with the first events of another one."""
    check_instance_id(instance_id)
    check_instance_id(new_id)
    async with session.owning():
        await session.execute(fork_command(instance_id, sequence, new_id))
        return workflow_status(await session.get_status(new_id))


async def send_signal(
    session: Session,
    instance_id: str,
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
        instance_id=instance_id,
        command_id=new_command_id(),
        signal=signal,
        payload=encode_payload(dump_models(payload)),
        signal_id=signal_id,
    )
    async with session.owning():
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
        raise BackendError("Snapshot not found: ")
    async with session.owning():
        await session.execute(command)
