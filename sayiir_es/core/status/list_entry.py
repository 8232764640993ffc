"""An instance as lists and counts need it: what searches ask, and nothing beside."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from sayiir_es.core.fast_frozen import fast_frozen, maker
from sayiir_es.core.graph.paths import node_name
from sayiir_es.core.model.rows import (
    get_cursors,
    get_ending,
    get_header,
    get_quarantine,
    get_run,
)
from sayiir_es.core.status.status import has_rest, name_of
from sayiir_es.core.status.waits import waited_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from sayiir_es.core.model.rows import Rows


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class ListEntry:
    """What an instance is by now; times in epoch milliseconds.

    `updated_at` is of its last event, `error_type` of the error by which it failed or
    stands still, `error_in` the name of the node that failed. `waited` is what it waits
    for, in the words of `status.waits`. `parent` is the instance of which it is a
    child.
    """

    instance_id: str
    started_at: int
    updated_at: int
    status: str
    workflow: str
    error_type: str | None
    attributes: Mapping[str, str]
    error_in: str | None = None
    version: str | None = None
    graph_digest: str = ""
    waited: tuple[str, ...] = ()
    parent: str | None = None


class EntryGroup(NamedTuple):
    """What entries have in common that stores count; as the fields of `ListEntry`.

    All that a search asks but the id, the times, the attributes and the parent.
    """

    status: str
    workflow: str
    error_type: str | None
    error_in: str | None
    version: str | None
    graph_digest: str
    waited: tuple[str, ...]

    def entry(self) -> ListEntry:
        """An entry of the group, with neither id nor times nor attributes."""
        return ListEntry(
            instance_id="",
            started_at=0,
            updated_at=0,
            status=self.status,
            workflow=self.workflow,
            error_type=self.error_type,
            attributes={},
            error_in=self.error_in,
            version=self.version,
            graph_digest=self.graph_digest,
            waited=self.waited,
        )


_new_entry = maker(ListEntry)


def group_of(entry: ListEntry) -> EntryGroup:
    """The group in which stores count an instance."""
    return EntryGroup._make(_get_group(entry))


_get_group: Callable[[ListEntry], tuple[Any, ...]] = attrgetter(*EntryGroup._fields)


RUNNING = "in_progress"
"""The status in which the last event changes all the time: no store keeps an order of
such instances by it."""


def place_of(entry: ListEntry) -> tuple[int, str]:
    """By what entries are ordered: the time of the start, and the id."""
    return entry.started_at, entry.instance_id


def updated_place_of(entry: ListEntry) -> tuple[int, str]:
    """By what entries are ordered otherwise: the time of the last event, and the id."""
    return entry.updated_at, entry.instance_id


def entry_of(rows: Rows, instance_id: str) -> ListEntry | None:
    """The entry that rows give; None where there is no run."""
    header, run = get_header(rows), get_run(rows)
    if header is None or run is None or header.run == 0:
        return None
    cursors = [] if has_rest(header) else [one for _, one in get_cursors(rows)]
    status = name_of(header, cursors)
    error_type, error_in = _error_of(rows, status)
    return _new_entry(
        instance_id=instance_id,
        started_at=run.started_at,
        updated_at=header.at,
        status=status,
        workflow=run.workflow,
        error_type=error_type,
        attributes=run.attributes,
        error_in=error_in,
        version=run.version,
        graph_digest=run.graph_digest,
        waited=waited_for(header, cursors),
        parent=None if run.parent is None else run.parent.instance_id,
    )


def _error_of(rows: Rows, status: str) -> tuple[str | None, str | None]:
    """The type of the error by which it failed or stands still, and the node."""
    if status == "failed":
        ending = get_ending(rows)
        if ending is not None:
            return ending.error_type, node_name(ending.path) or None
    elif status == "quarantined":
        quarantine = get_quarantine(rows)
        if quarantine is not None:
            return quarantine.error_type, None
    return None, None
