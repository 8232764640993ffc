"""The exceptions that users get for rejected commands, by code, never by text."""

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
    rejection: CommandRejected, instance_id: str, status: str | None
) -> NoReturn:
    """Raise what Sayiir raises for the same situation.

    `status` is the instance's status after the rejection, for the text.

    Raises:
        InstanceAlreadyExistsError: for `already_exists`.
        WorkflowError: for `definition_mismatch` and `bad_request`.
        BackendError: for the rest; its text names the state or the id.
    """
    if status in ("waiting", "awaiting_signal"):
        status = "in_progress"  # a parked instance is one in progress
    state = "".join(part.capitalize() for part in (status or "unknown").split("_"))
    match rejection.code:
        case "already_exists":
            raise InstanceAlreadyExistsError(
                f"Workflow instance already exists: {instance_id}"
            )
        case "definition_mismatch":
            raise WorkflowError(f"Workflow definition mismatch: {rejection.message}")
        case "bad_request" | "unknown_workflow":
            raise WorkflowError(rejection.message)
        case "not_found" if rejection.command != "ForkWorkflow":
            raise BackendError(f"Snapshot not found: {instance_id}")
        case "not_paused":
            raise CommandRefusedError(
                "Cannot pause workflow in state: Workflow is not paused (current "
                f'state: "{state}")',
                rejection=rejection.code,
            )
        case "terminal":
            verbs = {"CancelWorkflow": "cancel", "PauseWorkflow": "pause"}
            verb = verbs.get(rejection.command, "signal")
            raise CommandRefusedError(
                f"Cannot {verb} workflow in state: {state}", rejection=rejection.code
            )
        case _:
            raise CommandRefusedError(rejection.message, rejection=rejection.code)


def check_instance_id(instance_id: str) -> None:
    """Raise for an id that no owner would take.

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
