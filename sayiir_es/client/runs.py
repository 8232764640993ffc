"""Starts, runs and results of instances, as coroutines over a session.

What controls an instance that runs is in `control`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.client.commands import start_command
from sayiir_es.client.rejections import check_instance_id
from sayiir_es.client.workflow_status import WorkflowStatus, workflow_status
from sayiir_es.core.model.errors import InstanceAlreadyExistsError, WorkflowError
from sayiir_es.wire.payload import decode_payload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.client.session import Session
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.model.commands import ConflictPolicy
    from sayiir_es.core.status.status import Status


async def submit(
    session: Session,
    workflow: Workflow | str,
    instance_id: str,
    value: object,
    policy: ConflictPolicy,
    attributes: Mapping[str, str] | None = None,
) -> WorkflowStatus:
    """Start an instance; nobody runs it unless a worker does."""
    check_instance_id(instance_id)
    name = workflow if isinstance(workflow, str) else workflow.graph.name
    try:
        start = start_command(
            name, instance_id, value, policy=policy, attributes=attributes
        )
    except (TypeError, ValueError):
        # An instance that exists goes before an input that cannot be encoded:
        # a second submit need not bring the input again.
        status = await existing_status(session, workflow, instance_id, policy)
        if status is None:
            raise
        return workflow_status(status)
    async with session.owning():
        return workflow_status(await session.submit(workflow, start))


async def existing_status(
    session: Session,
    workflow: Workflow | str,
    instance_id: str,
    policy: ConflictPolicy,
) -> Status | None:
    """The status that a start with this policy returns instead of starting, if any.

    Raises:
        InstanceAlreadyExistsError: under the policy `fail`.
        WorkflowError: if it was started with another definition.
    """
    if policy == "terminate_existing":
        return None
    status = await session.find_status(instance_id)
    if status is None:
        return None
    if not isinstance(workflow, str):
        _check_definition(workflow, status)
    if policy == "fail":
        raise InstanceAlreadyExistsError(
            f"Workflow instance already exists: {instance_id}"
        )
    return status


def _check_definition(workflow: Workflow, status: Status) -> None:
    if status.definition_hash != workflow.definition_hash:
        raise WorkflowError(
            "Workflow definition mismatch: expected hash "
            f"'{workflow.definition_hash}', found '{status.definition_hash}'"
        )


async def run_durable(
    session: Session,
    workflow: Workflow,
    instance_id: str,
    value: object,
    policy: ConflictPolicy,
) -> WorkflowStatus:
    """Start an instance and run it until it has ended or is parked."""
    check_instance_id(instance_id)
    # Looked up before owning, which would run what the existing instance owes.
    status = await existing_status(session, workflow, instance_id, policy)
    if status is not None:
        return workflow_status(status)
    start = start_command(workflow.graph.name, instance_id, value, policy=policy)
    async with session.owning([workflow]) as executor:
        await session.submit(workflow, start)
        return workflow_status(
            await session.wait(instance_id, parked=True, executor=executor)
        )


async def resume(
    session: Session, workflow: Workflow, instance_id: str
) -> WorkflowStatus:
    """Run an instance on until it has ended or is parked; safe at any time."""
    check_instance_id(instance_id)
    _check_definition(workflow, await session.get_status(instance_id))
    async with session.owning([workflow]) as executor:
        return workflow_status(
            await session.wait(instance_id, parked=True, executor=executor)
        )


def output_of(status: WorkflowStatus) -> object:
    """The output of an instance that was run.

    Raises:
        WorkflowError: if it did not complete.
    """
    if not status.is_completed():
        because = f" {status.error}" if status.error else ""
        raise WorkflowError(
            f"Workflow did not complete (status={status.status}).{because} Use "
            "run_durable_workflow() to inspect the full status."
        )
    return status.output


async def task_result(session: Session, instance_id: str, task_id: str) -> object:
    """The decoded result of a task, or None where it has none yet."""
    data = await session.get_task_result(instance_id, task_id)
    return None if data is None else decode_payload(data)
