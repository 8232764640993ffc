"""An instance as commands show it: the same object from the log and from a store."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from sayiir_es.cli.text import payload_value
from sayiir_es.core.status.status import status_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sayiir_es.client.search import Search
    from sayiir_es.core.model.rows import Rows
    from sayiir_es.core.status.status import Status

COLUMNS = ("instance_id", "workflow", "status", "waiting_for", "updated_at")
"""What a table of instances shows."""


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
    }


def newest_of(
    instances: Iterable[tuple[str, Rows]], search: Search, limit: int
) -> list[Status]:
    """The last instances that a search finds, of those that stores on disk hold."""
    matches = (
        (at_ms, instance_id, status)
        for instance_id, rows in instances
        if (at_ms := search.found_at(rows)) is not None
        and (status := status_of(rows, instance_id, None)) is not None
    )
    last = heapq.nlargest(limit, matches, key=lambda one: one[:2])
    return [status for _, _, status in last]
