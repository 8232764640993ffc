"""What the replies of owners mean to a caller: a status, or an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.client.rejections import not_found, raise_rejection
from sayiir_es.core.model.errors import BackendError
from sayiir_es.core.status.status import ENDED
from sayiir_es.wire.requests import Ended, Refused

if TYPE_CHECKING:
    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.status.status import Status
    from sayiir_es.wire.requests import Answer, Decided


def check_accepted(decided: Decided, command: Command) -> None:
    """Raise what a rejection means, if it is one.

    Raises:
        WorkflowError: as `raise_rejection`.
    """
    if decided.event == "CommandRejected":
        status = decided.status.status if decided.status is not None else None
        raise_rejection(decided, command.instance_id, status)


def found_status(status: Status | None, instance_id: str) -> Status:
    """The status of an instance that must be there.

    Raises:
        InstanceNotFoundError: if it is not.
    """
    if status is None:
        raise not_found(instance_id)
    return status


def end_status(answer: Answer, instance_id: str) -> Status:
    """The status in the answer to a wait.

    Raises:
        BackendError: if it is none.
    """
    if not isinstance(answer, Ended):
        raise BackendError(
            f"expected to hear of the end of {instance_id!r}, but "
            f"{refusal_reason(answer)}"
        )
    return found_status(answer.status, instance_id)


def is_over(status: Status, *, parked: bool) -> bool:
    """Whether an instance has ended, or with `parked` runs nothing now."""
    return status.status in ENDED or (parked and status.status != "in_progress")


def refusal_reason(answer: Answer) -> str:
    """Why an owner could not answer."""
    return answer.message if isinstance(answer, Refused) else repr(answer)
