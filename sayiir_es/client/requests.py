"""What users ask of an instance, as coroutines: the one body behind every way in.

Starts, runs and results are here; what steers an instance is in `steering`.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from sayiir_es.client.rejections import check_instance_id
from sayiir_es.client.workflow_status import WorkflowStatus, workflow_status
from sayiir_es.core.model.commands import (
    CONFLICT_POLICIES,
    ConflictPolicy,
    StartWorkflow,
)
from sayiir_es.core.model.errors import InstanceAlreadyExistsError, WorkflowError
from sayiir_es.wire.payload import decode_payload, encode_payload
from sayiir_es.wire.pydantic_models import dump_models

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.client.session import Session
    from sayiir_es.core.authoring.flow import Workflow
    from sayiir_es.core.status.status import Status

POLICY_NAMES: dict[str, ConflictPolicy] = {
    **{policy: policy for policy in CONFLICT_POLICIES},
    "useExisting": "use_existing",
    "terminateExisting": "terminate_existing",
}


def conflict_policy(name: str | None) -> ConflictPolicy:
    """The policy of that name; None is `fail`.

    Raises:
        ValueError: if there is none of that name.
    """
    if name is None:
        return "fail"
    policy = POLICY_NAMES.get(name)
    if policy is None:
        raise ValueError(
            f'invalid conflict_policy: "{name}" (expected "fail", "use_existing", or '
            '"terminate_existing")'
        )
    return policy


def new_command_id() -> str:
    """An id for a command, so that a producer's retry is not a second command."""
    return secrets.token_hex(12)


def start_command(
    workflow: str,
    instance_id: str,
    value: object,
    *,
    policy: ConflictPolicy,
    attributes: Mapping[str, str] | None = None,
) -> StartWorkflow:
    """The command that starts an instance; encodes its input.

    Raises:
        EncodeError: if the input is not a JSON value.
    """
    return StartWorkflow(
        instance_id=instance_id,
        command_id=new_command_id(),
        workflow=workflow,
        input=encode_payload(dump_models(value)),
        conflict_policy=policy,
        attributes=dict(attributes or {}),
    )


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
        # That it exists is told first: who submits twice need not encode twice.
        found = await existing(session, workflow, instance_id, policy)
        if found is None:
            raise
        return workflow_status(found)
    async with session.owning():
        return workflow_status(await session.submit(workflow, start))


async def existing(
    session: Session,
    workflow: Workflow | str,
    instance_id: str,
    policy: ConflictPolicy,
) -> Status | None:
    """What a start with this policy would find instead of starting, if anything.

    Raises:
        InstanceAlreadyExistsError: under the policy `fail`.
        WorkflowError: if it was started with another definition.
    """
    if policy == "terminate_existing":
        return None
    found = await session.status_or_none(instance_id)
    if found is None:
        return None
    if not isinstance(workflow, str):
        _check_definition(workflow, found)
    if policy == "fail":
        raise InstanceAlreadyExistsError(
            f"Workflow instance already exists: {instance_id}"
        )
    return found


def _check_definition(workflow: Workflow, found: Status) -> None:
    if found.definition_hash != workflow.definition_hash:
        raise WorkflowError(
            "Workflow definition mismatch: expected hash "
            f"'{workflow.definition_hash}', found '{found.definition_hash}'"
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
    # Asked before owning, which would run what the existing instance owes.
    found = await existing(session, workflow, instance_id, policy)
    if found is not None:
        return workflow_status(found)
    start = start_command(workflow.graph.name, instance_id, value, policy=policy)
    async with session.owning([workflow]) as executor:
        await session.submit(workflow, start)
        return workflow_status(
            await session.wait(instance_id, parked=True, executor=executor)
        )


async def resume(
    session: Session, workflow: Workflow, instance_id: str
) -> WorkflowStatus:
    """Run an instance on until it has ended or is parked; safe at any time.

    Raises:
        BackendError: if there is no instance of that id.
        WorkflowError: if it was started with another definition.
    """
    check_instance_id(instance_id)
    _check_definition(workflow, await session.status(instance_id))
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
    data = await session.task_result(instance_id, task_id)
    return None if data is None else decode_payload(data)
