"""An instance as commands show it: the same object from the log and from a store."""

from __future__ import annotations

import heapq
from dataclasses import asdict
from typing import TYPE_CHECKING

from sayiir_es.cli.output import Format, print_object
from sayiir_es.cli.stdout import write_line
from sayiir_es.core.status.list_entry import entry_of
from sayiir_es.core.status.status import listed, status_of
from sayiir_es.operations.text import payload_value, visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sayiir_es.core.model.rows import Rows
    from sayiir_es.core.status.search import Search
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
    }


def print_status(status: Status, output: Format) -> None:
    """Print an instance; a person reads the traceback below the table."""
    view = instance_view(status)
    details = status.error_details
    if output is not Format.TABLE or details is None:
        print_object(view, output)
        return
    del view["error_details"]
    view |= {"source_line": details.source_line, "causes": "; ".join(details.causes)}
    print_object(view, output)
    for line in details.traceback.splitlines():
        write_line(visible(line))


def newest_of(
    instances: Iterable[tuple[str, Rows]], search: Search, limit: int
) -> list[Status]:
    """The last instances that a search finds, of those that stores on disk hold."""
    matches = (
        (search.time_of(entry), instance_id, status)
        for instance_id, rows in instances
        if (entry := entry_of(rows, instance_id)) is not None
        and search.matches(entry)
        and (status := status_of(rows, instance_id, None)) is not None
    )
    last = heapq.nlargest(limit, matches, key=lambda one: one[:2])
    return [listed(status) for _, _, status in last]
