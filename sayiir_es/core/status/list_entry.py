"""An instance as lists and counts need it: what searches ask, and nothing beside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.fast_frozen import fast_frozen
from sayiir_es.core.model.rows import get_ending, get_header, get_quarantine, get_run
from sayiir_es.core.status.status import status_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.model.rows import Rows


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class ListEntry:
    """What an instance is by now; times in epoch milliseconds.

    `updated_at` is of its last event, `error_type` of the error by which it failed or
    stands still.
    """

    instance_id: str
    started_at: int
    updated_at: int
    status: str
    workflow: str
    error_type: str | None
    attributes: Mapping[str, str]


def place_of(entry: ListEntry) -> tuple[int, str]:
    """By what entries are ordered: the time of the start, and the id."""
    return entry.started_at, entry.instance_id


def entry_of(rows: Rows, instance_id: str) -> ListEntry | None:
    """The entry that rows give; None where there is no run."""
    header, run, status = get_header(rows), get_run(rows), status_name(rows)
    if header is None or run is None or status is None:
        return None
    error_type: str | None = None
    if status == "failed":
        ending = get_ending(rows)
        error_type = None if ending is None else ending.error_type
    elif status == "quarantined":
        quarantine = get_quarantine(rows)
        error_type = None if quarantine is None else quarantine.error_type
    return ListEntry(
        instance_id=instance_id,
        started_at=run.started_at,
        updated_at=header.at,
        status=status,
        workflow=run.workflow,
        error_type=error_type,
        attributes=run.attributes,
    )
