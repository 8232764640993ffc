"""How a command fails: an exit code, an error code, a sentence and a page.

Exit codes: 1 a failed workflow or a violated invariant · 2 usage · 3 not found ·
4 rejected · 5 unavailable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from sayiir_es.cli.output import talk, visible
from sayiir_es.core.model.errors import (
    BackendError,
    BatchTooLargeError,
    CommandRefusedError,
    HistoryError,
    InstanceAlreadyExistsError,
    NotFoundError,
    OffsetGoneError,
    SettingsError,
    StoreError,
    UnsafeLogError,
    UsageError,
    WorkflowError,
)

if TYPE_CHECKING:
    from sayiir_es.core.model.events import CommandRejected

FAILED = 1
USAGE = 2
NOT_FOUND = 3
REJECTED = 4
UNAVAILABLE = 5
INTERRUPTED = 130


def not_found(instance_id: str) -> NotFoundError:
    """There is no instance of that id."""
    return NotFoundError(f"expected an instance {instance_id!r}, but there is none")


def refusal(answer: CommandRejected) -> WorkflowError:
    """What the owner's refusal means."""
    match answer.code:
        case "not_found":
            return NotFoundError(answer.message)
        case "already_exists":
            return InstanceAlreadyExistsError(answer.message)
        case code:
            return CommandRefusedError(answer.message, rejection=code)


def exit_code_of(error: WorkflowError) -> int:
    """How a command ends that met an error of ours."""
    match error:
        case UsageError() | SettingsError():
            return USAGE
        case NotFoundError():
            return NOT_FOUND
        case (
            CommandRefusedError() | InstanceAlreadyExistsError() | BatchTooLargeError()
        ):
            return REJECTED
        case HistoryError() | UnsafeLogError() | OffsetGoneError():
            return FAILED
        case BackendError() | StoreError():
            return UNAVAILABLE
        case _:
            return FAILED


def report(error: WorkflowError) -> None:
    """Say on stderr what went wrong, its code, and where to read on."""
    rejection = (
        f" ({error.rejection})" if isinstance(error, CommandRefusedError) else ""
    )
    text = Text.assemble(
        ("error", "bold red"),
        (f" {error.code}{rejection}", "bold"),
        f": {visible(str(error))}\n",
        (f"see docs/errors/{error.code}.md", "dim"),
    )
    talk().print(text, soft_wrap=True)
