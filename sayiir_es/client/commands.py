"""The commands that clients send, with their ids; starts with their input encoded."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from sayiir_es.core.model.commands import (
    CONFLICT_POLICIES,
    ConflictPolicy,
    ForkWorkflow,
    StartWorkflow,
)
from sayiir_es.wire.payload import encode_payload
from sayiir_es.wire.pydantic_models import dump_models

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def fork_command(instance_id: str, sequence: int, new_id: str) -> ForkWorkflow:
    """The command that begins `new_id` with the events of an instance."""
    return ForkWorkflow(
        instance_id=new_id,
        command_id=new_command_id(),
        source_instance_id=instance_id,
        source_sequence=sequence,
    )
