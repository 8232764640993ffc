"""An instance as commands show it: the same object from the log and from a store."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from sayiir_es.cli.output import Format, print_object
from sayiir_es.cli.stdout import write_line
from sayiir_es.core.status.list_entry import entry_of
from sayiir_es.core.status.status import listed, status_of
from sayiir_es.operations.instance_view import instance_view
from sayiir_es.operations.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sayiir_es.core.model.rows import Rows
    from sayiir_es.core.status.search import Search
    from sayiir_es.core.status.status import Status

COLUMNS = ("instance_id", "workflow", "status", "waiting_for", "updated_at")
"""What a table of instances shows."""


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
