"""`WorkflowStatus`: what users of `sayiir` know, made from the core's status."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sayiir_es.core.instants import instant
from sayiir_es.core.status.status import Status, hidden_id
from sayiir_es.wire.payload import decode_payload

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WorkflowStatus:
    """The status of an instance as of one event.

    Attributes:
        status: One of `in_progress`, `completed`, `failed`, `cancelled`, `paused`,
            `waiting`, `awaiting_signal`.
        output: The decoded output of a completed instance, else None.
        wake_at: ISO-8601, UTC: the end of a delay, or a signal's time-out.
        delay_id: SHA-256 (hex) of the id of the delay that it waits for.
        signal_id: SHA-256 (hex) of the id of the node that waits for a signal.
        waiting_for: One sentence.
        started_at: Epoch milliseconds; so is `updated_at`, of the last event.
        attributes: What its start was given, for searches.
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
            "cancelled": f"reason={self.reason!r}, by={self.cancelled_by!r}",
            "paused": f"reason={self.reason!r}, by={self.paused_by!r}",
            "waiting": f"delay_id={self.delay_id!r}, wake_at={self.wake_at!r}",
            "awaiting_signal": f"signal_name={self.signal_name!r}, "
            f"signal_id={self.signal_id!r}, wake_at={self.wake_at!r}",
        }
        inside = details.get(self.status)
        return f"WorkflowStatus::{name}" + (f"({inside})" if inside else "")


def workflow_status(found: Status) -> WorkflowStatus:
    """The public status of what the core derived.

    Raises:
        DecodeError: if the recorded output is not JSON.
    """
    waiting, listening = found.status == "waiting", found.status == "awaiting_signal"
    node = hidden_id(found.node_id) if found.node_id is not None else None
    return WorkflowStatus(
        status=found.status,
        instance_id=found.instance_id,
        workflow=found.workflow,
        definition_hash=found.definition_hash,
        run=found.run,
        sequence=found.sequence,
        error=found.error,
        reason=found.reason,
        cancelled_by=found.requested_by if found.status == "cancelled" else None,
        paused_by=found.requested_by if found.status == "paused" else None,
        output=decode_payload(found.output) if found.output is not None else None,
        wake_at=instant(found.wake_at) if found.wake_at is not None else None,
        delay_id=node if waiting else None,
        signal_id=node if listening else None,
        signal_name=found.signal,
        waiting_for=found.waiting_for,
        started_at=found.started_at,
        updated_at=found.updated_at,
        attempts=found.attempts,
        attributes=found.attributes,
    )
