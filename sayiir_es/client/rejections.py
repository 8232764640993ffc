"""What an owner's refusal means to users: exceptions by code, never by text."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from sayiir_es.core.model.errors import (
    BackendError,
    CommandRefusedError,
    InstanceAlreadyExistsError,
    WorkflowError,
)
from sayiir_es.core.model.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from sayiir_es.core.model.events import CommandRejected


def raise_rejection(
    refused: CommandRejected, instance_id: str, status: str | None
) -> NoReturn:
    """Raise what Sayiir raises for the same situation.

    `status` is the instance's status behind the refusal, for the text.

    Raises:
        InstanceAlreadyExistsError: for `already_exists`.
        WorkflowError: for `definition_mismatch` and `bad_request`.
        BackendError: for the rest; its text names the state or the id.
    """
    if status in ("waiting", "awaiting_signal"):
        status = "in_progress"  # a parked instance is one in progress
    state = "".join(part.capitalize() for part in (status or "unknown").split("_"))
    match refused.code:
        case "already_exists":
            raise InstanceAlreadyExistsError(
                f"Workflow instance already exists: {instance_id}"
            )
        case "definition_mismatch":
            raise WorkflowError(f"Workflow definition mismatch: {refused.message}")
        case "bad_request" | "unknown_workflow":
            raise WorkflowError(refused.message)
        case "not_found" if refused.command != "ForkWorkflow":
            raise BackendError(f"Snapshot not found: {instance_id}")
        case "not_paused":
            raise CommandRefusedError(
                "Cannot pause workflow in state: Workflow is not paused (current "
                f'state: "{state}")',
                rejection=refused.code,
            )
        case "terminal":
            verbs = {"CancelWorkflow": "cancel", "PauseWorkflow": "pause"}
            verb = verbs.get(refused.command, "signal")
            raise CommandRefusedError(
                f"Cannot {verb} workflow in state: {state}", rejection=refused.code
            )
        case _:
            raise CommandRefusedError(refused.message, rejection=refused.code)


def check_instance_id(instance_id: str) -> None:
    """Refuse an id that no owner would take.

    Raises:
        WorkflowError: if it is empty or too long.
    """
    size = len(instance_id.encode("utf-8", "surrogatepass"))
    if size == 0:
        raise WorkflowError("instance_id must not be empty")
    if size > DEFAULT_LIMITS.id_bytes:
        raise WorkflowError(
            f"instance_id length {size} exceeds maximum {DEFAULT_LIMITS.id_bytes} bytes"
        )
