"""An instance as one flat object, the same for command line, pages and API."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sayiir_es.operations.text import payload_value

if TYPE_CHECKING:
    from sayiir_es.core.status.status import Status


def instance_view(status: Status) -> dict[str, object]:
    """One flat object. Times are epoch milliseconds, as in events."""
    return {
        "instance_id": status.instance_id,
        "workflow": status.workflow,
        "status": status.status,
        "waiting_for": status.waiting_for,
        "output": None if status.output is None else payload_value(status.output),
        "error": status.error,
        "error_type": status.error_type,
        "error_details": None
        if status.error_details is None
        else asdict(status.error_details),
        "compensated": list(status.compensated),
        "not_compensated": list(status.not_compensated),
        "reason": status.reason,
        "requested_by": status.requested_by,
        "wake_at": status.wake_at,
        "signal": status.signal,
        "attempts": dict(status.attempts),
        "attributes": dict(status.attributes),
        "run": status.run,
        "sequence": status.sequence,
        "started_at": status.started_at,
        "updated_at": status.updated_at,
        "definition_hash": status.definition_hash,
        "version": status.version,
        "parent": status.parent,
        "children": list(status.children),
    }
