"""Starts, runs and results of instances, as coroutines over a session.

What controls an instance that runs is in `control`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from sayiir_es.client.commands import new_command_id
from sayiir_es.client.debounced_starts import submit_debounced
from sayiir_es.client.instance_ids import id_text, new_instance_id
from sayiir_es.client.projection import partition_of_instance
from sayiir_es.client.session import REPLY_LIMIT_S
from sayiir_es.client.starts import produce_start, start_and_wait
from sayiir_es.client.workflow_status import WorkflowStatus, workflow_status
from sayiir_es.core.graph.versions import checked_version
from sayiir_es.core.model.commands import StartWorkflow
from sayiir_es.core.model.errors import (
    AppNotFoundError,
    InstanceAlreadyExistsError,
    QueueFullError,
    SubmitManyError,
    WorkflowError,
)
from sayiir_es.core.model.run_permit_events import QUEUE_FULL
from sayiir_es.engine.definitions.code import Code

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from sayiir_es.client.debounced_starts import Debounce
    from sayiir_es.client.session import Session
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.model.commands import ConflictPolicy
    from sayiir_es.core.status.status import Status

Ack: TypeAlias = Literal["owner", "log"]

CONCURRENT_STARTS = 1_000
"""How many starts of `submit_many` are on their way at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """How instances are started, and what of it is waited for.

    `timeout_s` limits the wait for the owner's answer, or with `wait` for the end.
    """

    policy: ConflictPolicy
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    command_id: str | None = None
    timeout_s: float | None = None
    wait: bool = False
    ack: Ack = "owner"
    version: str | None = None
    debounce: Debounce | None = None

    def __post_init__(self) -> None:
        """Check what may be wrong.

        Raises:
            ValueError: if `ack` or `version` is none, or the end is to be waited for
                without asking the owner, or of what does not start now.
        """
        if self.ack not in ("owner", "log"):
            raise ValueError(f'expected an ack of "owner" or "log", but {self.ack!r}')
        if self.wait and self.ack == "log":
            raise ValueError('expected ack="owner" where wait=True, but ack="log"')
        if self.debounce is not None and (self.wait or self.ack == "log"):
            given = "wait=True" if self.wait else 'ack="log"'
            raise ValueError(
                f"expected no {given} with debounce, where the start comes later"
            )
        checked_version(self.version)


async def submit(
    session: Session,
    workflow: Workflow | str,
    instance_id: str | UUID,
    value: object,
    options: StartOptions,
) -> WorkflowStatus:
    """Start an instance; nobody runs it unless a worker does."""
    instance_id = new_instance_id(instance_id)
    command_id = options.command_id
    if command_id is not None:
        new_instance_id(command_id, "command_id")  # bounded as an instance id is
    _check_version(workflow, options.version)
    try:
        data = session.payloads.encode(value)
    except (TypeError, ValueError):
        # An instance that exists goes before an input that cannot be encoded:
        # a second submit need not bring the input again.
        if options.ack == "log" or options.debounce is not None:
            raise
        status = await existing_status(session, instance_id, options.policy)
        if status is None:
            raise
        if options.wait:
            timeout_s = options.timeout_s
            status = await session.wait(instance_id, timeout_s=timeout_s)
        return workflow_status(status, session.payloads)
    start = new_start(workflow, instance_id, data, options)
    if options.ack == "log":
        await produce_start(session, workflow, start)
        return _submitted(session, start)
    return await _submit_answered(session, workflow, start, options)


async def _submit_answered(
    session: Session,
    workflow: Workflow | str,
    start: StartWorkflow,
    options: StartOptions,
) -> WorkflowStatus:
    """Start it and wait for the owner, for the end, or only until it waits itself."""
    timeout_s = options.timeout_s
    if options.debounce is not None:
        limit_s = REPLY_LIMIT_S if timeout_s is None else timeout_s
        return await submit_debounced(
            session, workflow, start, options.debounce, limit_s
        )
    if options.wait:
        status = await start_and_wait(session, workflow, start, timeout_s=timeout_s)
        if status.error_type == QUEUE_FULL and status.status == "failed":
            raise QueueFullError(f"{start.instance_id}: {status.error}")
    elif timeout_s is None:
        status = await session.submit(workflow, start)
    else:
        status = await session.submit(workflow, start, limit_s=timeout_s)
    return workflow_status(status, session.payloads)


def _submitted(session: Session, start: StartWorkflow) -> WorkflowStatus:
    """The status of a start that nobody was asked about."""
    partition = partition_of_instance(session.log, start.instance_id)
    return WorkflowStatus(
        status="submitted",
        instance_id=start.instance_id,
        workflow=start.workflow,
        definition_hash=start.definition_hash or "",
        waiting_for=f"the decision of the owner of partition {partition}",
        attributes=start.attributes,
        version=start.version or None,
    )


def new_start(
    workflow: Workflow | str, instance_id: str, data: bytes, options: StartOptions
) -> StartWorkflow:
    """The command that starts an instance: of the very graph, where it is given."""
    definition_hash = None
    if isinstance(workflow, str):
        name, version = workflow, options.version
    else:
        name, version = workflow.graph.name, workflow.version or ""
        definition_hash = workflow.definition_hash
    return StartWorkflow(
        instance_id=instance_id,
        command_id=options.command_id or new_command_id(),
        workflow=name,
        input=data,
        definition_hash=definition_hash,
        conflict_policy=options.policy,
        attributes=dict(options.attributes),
        version=version,
    )


def _check_version(workflow: Workflow | str, version: str | None) -> None:
    """Check a workflow for a start that asks for a version.

    Raises:
        ValueError: if it is of another one.
    """
    if isinstance(workflow, str) or version in (None, workflow.version):
        return
    raise ValueError(
        f"expected no version, or that of the workflow ({workflow.version!r}), but "
        f"{version!r}"
    )


async def submit_many(
    session: Session,
    workflow: Workflow | str,
    starts: Iterable[tuple[str | UUID, object]],
    options: StartOptions,
    max_concurrent: int,
) -> tuple[WorkflowStatus, ...]:
    """Start instances, many at a time; the statuses in the order of the starts.

    Raises:
        SubmitManyError: if some failed, behind all of them.
    """
    if max_concurrent < 1:
        raise ValueError(f"expected max_concurrent of 1 or more, but {max_concurrent}")
    wanted = [(id_text(instance_id), value) for instance_id, value in starts]
    left = iter(enumerate(wanted))
    statuses: dict[int, WorkflowStatus] = {}
    errors: dict[int, Exception] = {}

    async def submit_next() -> None:
        for index, (instance_id, value) in left:
            try:
                statuses[index] = await submit(
                    session, workflow, instance_id, value, options
                )
            except Exception as error:  # noqa: BLE001 (one start's trouble is its own)
                errors[index] = error

    async with asyncio.TaskGroup() as group:
        for _ in range(min(max_concurrent, len(wanted))):
            group.create_task(submit_next())
    if errors:
        failed = [(wanted[index][0], errors[index]) for index in sorted(errors)]
        raise SubmitManyError(failed, len(wanted)) from failed[0][1]
    return tuple(statuses[index] for index in range(len(wanted)))


async def existing_status(
    session: Session, instance_id: str, policy: ConflictPolicy
) -> Status | None:
    """The status that a start with this policy returns instead of starting, if any.

    Which definition it was started with does not matter.

    Raises:
        InstanceAlreadyExistsError: under the policy `fail`.
    """
    if policy == "terminate_existing":
        return None
    try:
        status = await session.find_status(instance_id)
    except AppNotFoundError:
        return None  # the first start makes the app
    if status is not None and policy == "fail":
        raise InstanceAlreadyExistsError(
            f"Workflow instance already exists: {instance_id}"
        )
    return status


async def run_durable(
    session: Session,
    workflow: Workflow,
    instance_id: str | UUID,
    value: object,
    policy: ConflictPolicy,
) -> WorkflowStatus:
    """Start an instance and run it until it has ended or is parked."""
    instance_id = new_instance_id(instance_id)
    # Looked up before owning, which would run what the existing instance owes.
    if not session.ownership.is_absent(instance_id):
        status = await existing_status(session, instance_id, policy)
        if status is not None:
            return workflow_status(status, session.payloads)
    data = session.payloads.encode(value)
    start = new_start(workflow, instance_id, data, StartOptions(policy=policy))
    async with session.running(workflow, instance_id) as run:
        await session.submit(workflow, start)
        status = await session.wait(instance_id, parked=True, run=run)
        return workflow_status(status, session.payloads)


async def resume(
    session: Session, workflow: Workflow, instance_id: str | UUID
) -> WorkflowStatus:
    """Run an instance on until it has ended or is parked; safe at any time."""
    instance_id = new_instance_id(instance_id)
    status = await session.get_status(instance_id)
    if not await _runs_with(session, workflow, status):
        raise WorkflowError(
            "Workflow definition mismatch: expected hash "
            f"'{workflow.definition_hash}', found '{status.definition_hash}'"
        )
    async with session.running(workflow, instance_id) as run:
        status = await session.wait(instance_id, parked=True, run=run)
        return workflow_status(status, session.payloads)


async def _runs_with(session: Session, workflow: Workflow, status: Status) -> bool:
    """Whether a run goes on with the code of a workflow, wherever it stands.

    It does if the workflow has a node of the same kind at every path of the run's
    graph, though options, metadata or what is behind them changed.
    """
    if (workflow.workflow_id, workflow.version) != (status.workflow, status.version):
        return False
    if status.definition_hash == workflow.definition_hash:
        return True
    await session.definitions.refresh()
    graph = session.registry.by_hash(status.definition_hash)
    code = Code(digests=(), today=lambda _, __: workflow.graph)
    return graph is not None and code.is_complete(graph)


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


async def task_result(
    session: Session, instance_id: str | UUID, task_id: str
) -> object:
    """The decoded result of a task, or None where it has none yet."""
    data = await session.get_task_result(id_text(instance_id), task_id)
    return None if data is None else session.payloads.decode(data)
