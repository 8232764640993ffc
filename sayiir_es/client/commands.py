"""The commands that clients send, with their ids; what they carry is encoded."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sayiir_es.core.model.commands import (
    CONFLICT_POLICIES,
    ConflictPolicy,
    ForkWorkflow,
    MigrateWorkflow,
    StartWorkflow,
)
from sayiir_es.log.port import NewRecord
from sayiir_es.wire.commands import encode_command_avro

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.core.model.commands import Command

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
    data: bytes,
    *,
    policy: ConflictPolicy,
    attributes: Mapping[str, str] | None = None,
    command_id: str | None = None,
) -> StartWorkflow:
    """The command that starts an instance with an encoded input.

    Without a `command_id` it gets one.
    """
    return StartWorkflow(
        instance_id=instance_id,
        command_id=command_id or new_command_id(),
        workflow=workflow,
        input=data,
        conflict_policy=policy,
        attributes=dict(attributes or {}),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """With which graph instances are to go on, and which paths have moved."""

    to: str
    mapping: Mapping[str, str] = field(default_factory=dict[str, str])
    reason: str | None = None
    requested_by: str | None = None

    def command(self, instance_id: str) -> MigrateWorkflow:
        """The command that lets an instance go on so."""
        return MigrateWorkflow(
            instance_id=instance_id,
            command_id=new_command_id(),
            to=self.to,
            mapping=dict(self.mapping),
            reason=self.reason,
            requested_by=self.requested_by,
        )


def migration_target(to: str | Workflow) -> str:
    """What a migrate names: a hash or `latest`, or the very graph of a workflow."""
    return to if isinstance(to, str) else to.graph.digest


def fork_command(instance_id: str, sequence: int, new_id: str) -> ForkWorkflow:
    """The command that begins `new_id` with the events of an instance."""
    return ForkWorkflow(
        instance_id=new_id,
        command_id=new_command_id(),
        source_instance_id=instance_id,
        source_sequence=sequence,
    )


def command_record(
    command: Command, headers: tuple[tuple[str, bytes], ...] = ()
) -> NewRecord:
    """The record of a command, with the headers that say where replies go."""
    return NewRecord(
        key=command.instance_id.encode("utf-8", "surrogatepass"),
        value=encode_command_avro(command),
        headers=headers,
    )
