"""The exceptions that users get for rejected commands, by code, never by text."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from sayiir_es.core.model.errors import (
    CommandRefusedError,
    InstanceAlreadyExistsError,
    InstanceNotFoundError,
    WorkflowError,
)

if TYPE_CHECKING:
    from sayiir_es.wire.requests import Decided


def raise_rejection(
    rejection: Decided, instance_id: str, status: str | None
) -> NoReturn:
    """Raise what Sayiir raises for the same situation.

    `status` is the instance's status after the rejection, for the text.

    Raises:
        InstanceAlreadyExistsError: for `already_exists`.
        InstanceNotFoundError: for `not_found`.
        WorkflowError: for `definition_mismatch` and `bad_request`.
        CommandRefusedError: for the rest; its text names the state.
    """
    if status in ("waiting", "awaiting_signal"):
        status = "in_progress"  # a parked instance is one in progress
    state = "".join(part.capitalize() for part in (status or "unknown").split("_"))
    match rejection.code:
        case "already_exists":
            raise InstanceAlreadyExistsError(
                f"Workflow instance already exists: {instance_id}"
            )
        case "definition_mismatch":  # of an owner of an older build
            raise WorkflowError(f"Workflow definition mismatch: {rejection.message}")
        case "bad_request" | "unknown_workflow":
            raise WorkflowError(rejection.message)
        case "not_found" if rejection.command != "ForkWorkflow":
            raise not_found(instance_id)
        case "not_paused":
            raise CommandRefusedError(
                "Cannot pause workflow in state: Workflow is not paused (current "
                f'state: "{state}")',
                rejection=rejection.code,
            )
        case "terminal":
            verbs = {
                "CancelWorkflow": "cancel",
                "PauseWorkflow": "pause",
                "MigrateWorkflow": "migrate",
            }
            verb = verbs.get(rejection.command, "signal")
            raise CommandRefusedError(
                f"Cannot {verb} workflow in state: {state}", rejection=rejection.code
            )
        case _:
            raise CommandRefusedError(rejection.message, rejection=rejection.code)


def not_found(instance_id: str) -> InstanceNotFoundError:
    """The error for an instance that is not there, in Sayiir's words."""
    return InstanceNotFoundError(f"Snapshot not found: {instance_id}")
