"""An instance as commands show it: the same object from the log and from a store."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from sayiir_es.cli.output import payload_value
from sayiir_es.core.status.status import status_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sayiir_es.client.search import Search
    from sayiir_es.core.model.rows import Rows
    from sayiir_es.core.status.status import Status

COLUMNS = ("instance_id", "workflow", "status", "waiting_for", "updated_at")
"""What a table of instances shows."""


def instance_view(found: Status) -> dict[str, object]:
    """One flat object. Times are epoch milliseconds, as in events."""
    return {
        "instance_id": found.instance_id,
        "workflow": found.workflow,
        "status": found.status,
        "waiting_for": found.waiting_for,
        "output": None if found.output is None else payload_value(found.output),
        "error": found.error,
        "error_type": found.error_type,
        "reason": found.reason,
        "requested_by": found.requested_by,
        "wake_at": found.wake_at,
        "signal": found.signal,
        "attempts": dict(found.attempts),
        "attributes": dict(found.attributes),
        "run": found.run,
        "sequence": found.sequence,
        "started_at": found.started_at,
        "updated_at": found.updated_at,
        "definition_hash": found.definition_hash,
    }


def newest_of(
    instances: Iterable[tuple[str, Rows]], wanted: Search, limit: int
) -> list[Status]:
    """The last instances that are meant, of those that stores on disk hold."""
    found = (
        (at_ms, instance_id, status)
        for instance_id, rows in instances
        if (at_ms := wanted.found_at(rows)) is not None
        and (status := status_of(rows, instance_id, None)) is not None
    )
    last = heapq.nlargest(limit, found, key=lambda one: one[:2])
    return [status for _, _, status in last]
