"""The header behind an event, and the ids of commands and signals it remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.fast_frozen import maker
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.core.model.position import parse_command_cause
from sayiir_es.core.model.rows import Changes, Compensation, Header, Phase, Rows

if TYPE_CHECKING:
    from sayiir_es.core.model.events import Event

_new_header = maker(Header)

NOBODY = Header(run=0, sequence=0, at=0, phase="unstarted")
"""The header of an instance that has left no trace."""


def header_of(rows: Rows) -> Header:
    """The header of the rows, `NOBODY` where the instance has left no trace."""
    row = rows.get("h")
    if row is None:
        return NOBODY
    assert isinstance(row, Header), row
    return row


def header_after(
    header: Header,
    event: Event,
    *,
    phase: Phase | None = None,
    compensation: Compensation | None = None,
) -> Header:
    """The header behind an event that changes nothing else in it.

    What undoes, or is to, was asked for last: a pause that was requested before ends,
    and it waits in no start queue.
    """
    return _new_header(
        run=event.run,
        sequence=event.sequence,
        at=event.at,
        phase=phase or header.phase,
        cancel=header.cancel,
        pause=header.pause if compensation is None else None,
        unpaused=header.unpaused,
        buffered=header.buffered,
        command_ids=header.command_ids,
        signal_ids=header.signal_ids,
        compensation=compensation or header.compensation,
        children=header.children,
        queued=header.queued and compensation is None,
        migrated=header.migrated,
    )


def is_stopping(header: Header) -> bool:
    """Whether the run has failed or is cancelled, and waits for what still runs.

    No attempt begins any more, and none is tried again.
    """
    return header.compensation != "started" and (
        header.cancel is not None or header.compensation == "requested"
    )


def is_requested(header: Header) -> bool:
    """Whether a pause was requested, or the run stops."""
    if header.pause is header.cancel is None and header.compensation == "none":
        return False  # as almost always
    return header.pause is not None or is_stopping(header)


def is_held(header: Header) -> bool:
    """Whether every move is held back: by a request, or in the start queue."""
    return header.queued or is_requested(header)


def terminal_header(header: Header, event: Event, phase: Phase) -> Header:
    """The header behind a terminal event: no request is left."""
    return _new_header(
        run=event.run,
        sequence=event.sequence,
        at=event.at,
        phase=phase,
        unpaused=header.unpaused,
        buffered=header.buffered,
        command_ids=header.command_ids,
        signal_ids=header.signal_ids,
        migrated=header.migrated,
    )


def remember(
    rows: Rows, changes: Changes, *, rows_prefix: tuple[str, str], count: int, item: str
) -> None:
    """Remember an id in the ring `rows_prefix[1]`; what it displaces is forgotten."""
    ids, ring = rows_prefix
    slot = f"{ring}{count % DEFAULT_LIMITS.remembered_ids}"
    displaced = rows.get(slot)
    if isinstance(displaced, str):
        changes[ids + displaced] = None
    changes[slot] = item


def remember_command(
    rows: Rows, event: Event, command_id: str, changes: Changes, header: Header
) -> int:
    """Remember a command id; returns how many were remembered so far.

    An id that is only the command's own position needs no memory: the log cannot
    hand out a position twice.
    """
    position = parse_command_cause(event.cause)
    if position is not None:
        own = position.origin or (position.partition, position.offset)
        if command_id == f"{own[0]}@{own[1]}":
            return header.command_ids
    remember(
        rows,
        changes,
        rows_prefix=("m", "k"),
        count=header.command_ids,
        item=command_id,
    )
    changes["m" + command_id] = event.sequence
    return header.command_ids + 1
