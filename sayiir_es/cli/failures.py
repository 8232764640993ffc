"""How a command fails: an exit code, an error code, a sentence and a page.

Exit codes: 1 a failed workflow or a violated invariant · 2 usage · 3 not found ·
4 rejected · 5 unavailable.
"""

from __future__ import annotations

from sayiir_es.cli.environment import is_json_wanted, write_json_message
from sayiir_es.core.model.errors import (
    BackendError,
    BatchTooLargeError,
    CommandRefusedError,
    GroupInstanceTakenError,
    HistoryError,
    InstanceAlreadyExistsError,
    InstanceNotFoundError,
    NotFoundError,
    OffsetGoneError,
    QueueFullError,
    ResourceError,
    SettingsError,
    StoreError,
    UnsafeLogError,
    UsageError,
    WorkflowError,
)

FAILED = 1
USAGE = 2
NOT_FOUND = 3
REJECTED = 4
UNAVAILABLE = 5
INTERRUPTED = 130


def not_found(instance_id: str) -> NotFoundError:
    """The error for an instance that is not there."""
    return NotFoundError(f"expected an instance {instance_id!r}, but there is none")


def exit_code_of(error: WorkflowError) -> int:
    """The exit code of a command that an error of ours ended."""
    match error:
        case UsageError() | SettingsError() | ResourceError():
            return USAGE
        case NotFoundError() | InstanceNotFoundError():
            return NOT_FOUND
        case (
            CommandRefusedError()
            | InstanceAlreadyExistsError()
            | QueueFullError()
            | BatchTooLargeError()
        ):
            return REJECTED
        case (
            HistoryError()
            | UnsafeLogError()
            | OffsetGoneError()
            | GroupInstanceTakenError()
        ):
            return FAILED
        case BackendError() | StoreError():
            return UNAVAILABLE
        case _:
            return FAILED


def report(error: WorkflowError) -> None:
    """Print on stderr what went wrong, its code, and where to read on."""
    if is_json_wanted():
        write_json_message("command.failed", error_code=error.code, reason=str(error))
        return
    from sayiir_es.cli.console import show_error  # noqa: PLC0415 (slow to import)

    rejection = (
        f" ({error.rejection})" if isinstance(error, CommandRefusedError) else ""
    )
    show_error(error.code, rejection, str(error))
