"""The answers that change nothing: rejections and acknowledgements, and their texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.draft import Recorder, answer
from sayiir_es.core.model.child_events import ChildStartRefused
from sayiir_es.core.model.events import CommandAcknowledged, CommandRejected
from sayiir_es.core.model.limits import clip

if TYPE_CHECKING:
    from sayiir_es.core.draft import Basis, Decision
    from sayiir_es.core.model.commands import Command, StartWorkflow

NOT_FOUND = "expected an instance {!r}, but there is none"
"""The text of every `not_found`."""


def reject(basis: Basis, command: Command, code: str, message: str) -> Decision:
    """Refuse a command with a stable code."""
    return answer(
        basis,
        CommandRejected(
            command=type(command).__name__,
            command_id=command.command_id[: basis.context.limits.id_bytes],
            code=code,
            message=message,
        ),
    )


def reject_start(
    basis: Basis, command: StartWorkflow, code: str, message: str
) -> Decision:
    """Reject a start; the parent that waits for it is to be told so."""
    if command.parent is None or not command.parent_secret:
        return reject(basis, command, code, message)
    limits = basis.context.limits
    recorder = Recorder(basis)
    recorder.emit_together(
        CommandRejected(
            command=type(command).__name__,
            command_id=command.command_id[: limits.id_bytes],
            code=code,
            message=message,
        ),
        ChildStartRefused(
            parent=command.parent,
            parent_run=command.parent_run,
            parent_path=command.parent_path,
            parent_secret=command.parent_secret,
            error_type=code,
            error=clip(message, limits.error_bytes),
        ),
    )
    return recorder.decision()


def reject_not_found(basis: Basis, command: Command) -> Decision:
    """Refuse a command because there is no run."""
    return reject(basis, command, "not_found", NOT_FOUND.format(command.instance_id))


def reject_terminal(basis: Basis, command: Command) -> Decision:
    """Refuse a command because the run has ended."""
    message = (
        f"expected an instance that has not ended, but {command.instance_id!r} is "
        f"{basis.header.phase}"
    )
    return reject(basis, command, "terminal", message)


def reject_compensating(basis: Basis, command: Command) -> Decision:
    """Refuse a command because the run ends, as soon as what it did is undone."""
    ended = "has failed" if basis.header.cancel is None else "is cancelled"
    message = (
        f"expected an instance that goes on, but {command.instance_id!r} {ended} and "
        "what it did is being undone"
    )
    return reject(basis, command, "terminal", message)


def reject_quarantined(basis: Basis, command: Command) -> Decision:
    """Refuse a command because its instance stands still."""
    message = (
        f"expected an instance that goes on, but {command.instance_id!r} is in "
        "quarantine: a retry releases it, a cancel ends it"
    )
    return reject(basis, command, "quarantined", message)


def acknowledge(
    basis: Basis, command: Command, code: str, answered_by: int
) -> Decision:
    """Say that a command changes nothing: `duplicate` or `unchanged`."""
    return answer(
        basis,
        CommandAcknowledged(
            command=type(command).__name__,
            command_id=command.command_id,
            code="duplicate" if code == "duplicate" else "unchanged",
            answered_by=answered_by,
        ),
    )
