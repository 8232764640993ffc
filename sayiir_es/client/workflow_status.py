"""`WorkflowStatus`: the status as users of `sayiir` know it, from the core's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sayiir_es.core.fast_frozen import fast_frozen, maker
from sayiir_es.core.instants import instant
from sayiir_es.core.status.status import Status, hidden_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.model.waits import ErrorDetails
    from sayiir_es.wire.payload_codec import Payloads


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WorkflowStatus:
    """The status of an instance as of one event.

    Attributes:
        status: One of `in_progress`, `completed`, `failed`, `cancelled`, `paused`,
            `waiting`, `awaiting_signal`; or, which Sayiir does not have, `quarantined`,
            and `submitted`: the start is on the log and nobody was asked about it.
        output: The decoded output of a completed instance, else None.
        wake_at: ISO-8601, UTC: the end of a delay, or a signal's time-out.
        delay_id: SHA-256 (hex) of the id of the delay that it waits for.
        signal_id: SHA-256 (hex) of the id of the node that waits for a signal.
        waiting_for: One sentence.
        started_at: Epoch milliseconds; so is `updated_at`, of the last event.
        attributes: The names and values of its start, for searches.
        error_type: Class name of the exception, or a word such as `timeout`.
        error_details: Of the error that ended the run, or of the last attempt that is
            to be tried again: class with module, line, causes and traceback. None in
            lists, and where no exception was raised.
        compensated: Paths of the tasks whose effect was undone when the run failed or
            was cancelled, the one that completed last first; none in lists.
        not_compensated: Paths of those whose effect could not be undone.
        version: Which version of the workflow runs; None if it has none.
    """

    status: str
    instance_id: str = ""
    workflow: str = ""
    definition_hash: str = ""
    run: int = 0
    sequence: int = 0
    error: str | None = None
    reason: str | None = None
    cancelled_by: str | None = None
    paused_by: str | None = None
    output: object = None
    wake_at: str | None = None
    delay_id: str | None = None
    signal_id: str | None = None
    signal_name: str | None = None
    waiting_for: str = ""
    started_at: int = 0
    updated_at: int = 0
    attempts: Mapping[str, int] = field(default_factory=dict[str, int])
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    error_type: str | None = None
    error_details: ErrorDetails | None = None
    compensated: tuple[str, ...] = ()
    not_compensated: tuple[str, ...] = ()
    version: str | None = None

    def is_completed(self) -> bool:
        """Whether the instance completed."""
        return self.status == "completed"

    def is_failed(self) -> bool:
        """Whether the instance failed."""
        return self.status == "failed"

    def is_cancelled(self) -> bool:
        """Whether the instance was cancelled."""
        return self.status == "cancelled"

    def is_in_progress(self) -> bool:
        """Whether the outcome of a task is awaited."""
        return self.status == "in_progress"

    def is_paused(self) -> bool:
        """Whether the instance is paused."""
        return self.status == "paused"

    def is_waiting(self) -> bool:
        """Whether the instance sleeps in a delay."""
        return self.status == "waiting"

    def is_awaiting_signal(self) -> bool:
        """Whether the instance waits for a signal."""
        return self.status == "awaiting_signal"

    def __repr__(self) -> str:
        if self.status == "in_progress":
            return "WorkflowStatus::in_progress"  # as Sayiir writes this one
        name = "".join(part.capitalize() for part in self.status.split("_"))
        details = {
            "failed": self.error,
            "quarantined": self.error,
            "cancelled": f"reason={self.reason!r}, by={self.cancelled_by!r}",
            "paused": f"reason={self.reason!r}, by={self.paused_by!r}",
            "waiting": f"delay_id={self.delay_id!r}, wake_at={self.wake_at!r}",
            "awaiting_signal": f"signal_name={self.signal_name!r}, "
            f"signal_id={self.signal_id!r}, wake_at={self.wake_at!r}",
        }
        inside = details.get(self.status)
        return f"WorkflowStatus::{name}" + (f"({inside})" if inside else "")


_new_status = maker(WorkflowStatus)


def workflow_status(status: Status, payloads: Payloads) -> WorkflowStatus:
    """The public status, from the core's.

    Raises:
        DecodeError: if no codec of the backend reads the recorded output.
    """
    name = status.status
    node = hidden_id(status.node_id) if status.node_id is not None else None
    return _new_status(
        status=name,
        instance_id=status.instance_id,
        workflow=status.workflow,
        definition_hash=status.definition_hash,
        run=status.run,
        sequence=status.sequence,
        error=status.error,
        reason=status.reason,
        cancelled_by=status.requested_by if name == "cancelled" else None,
        paused_by=status.requested_by if name == "paused" else None,
        output=None if status.output is None else payloads.decode(status.output),
        wake_at=instant(status.wake_at) if status.wake_at is not None else None,
        delay_id=node if name == "waiting" else None,
        signal_id=node if name == "awaiting_signal" else None,
        signal_name=status.signal,
        waiting_for=status.waiting_for,
        started_at=status.started_at,
        updated_at=status.updated_at,
        attempts=status.attempts,
        attributes=status.attributes,
        error_type=status.error_type,
        error_details=status.error_details,
        compensated=status.compensated,
        not_compensated=status.not_compensated,
        version=status.version,
    )
