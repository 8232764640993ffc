"""What the events of debounced starts do, under the id of their key.

D                  DebouncedStart: the start that waits
c%debounce         Cursor: until when, as far as is known
B<sequence>        DebouncedStart: a start that is owed to its instance
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sayiir_es.core.model.debounce_events import (
    START_PREFIX,
    DebouncedStartSent,
    DebounceElapsed,
    StartDebounced,
)
from sayiir_es.core.model.headers import header_after, remember_command
from sayiir_es.core.model.rows import Cursor, DebouncedStart
from sayiir_es.core.model.waits import Debouncing
from sayiir_es.core.nodes.kinds import EventKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.model.events import Body, Event
    from sayiir_es.core.model.rows import Changes, Header, Rows

CHAIN = "%debounce"
"""The chain of the cursor that waits: no path names it."""

PENDING = "D"


def get_pending(rows: Rows) -> DebouncedStart | None:
    """The start that waits, if any does."""
    return get_start(rows, PENDING)


def get_start(rows: Rows, key: str) -> DebouncedStart | None:
    """The start in the row of that key."""
    row = rows.get(key)
    assert row is None or isinstance(row, DebouncedStart), row
    return row


def fold_debounced(
    rows: Rows, event: Event, body: StartDebounced, header: Header
) -> Changes:
    """It waits, in the place of the one before it."""
    changes: Changes = {
        PENDING: DebouncedStart(
            command_id=body.command_id,
            start_id=body.start_id,
            workflow=body.workflow,
            input=body.input,
            first_at=body.first_at,
            definition_hash=body.definition_hash,
            conflict_policy=body.conflict_policy,
            attributes=dict(body.attributes),
            version=body.version,
            traceparent=body.traceparent,
        ),
        f"c{CHAIN}": Cursor(path="", input="", wait=Debouncing(due_at=body.due_at)),
    }
    changes["h"] = replace(
        header_after(header, event),
        command_ids=remember_command(rows, event, body.command_id, changes, header),
    )
    return changes


def fold_elapsed(
    rows: Rows, event: Event, _body: DebounceElapsed, _header: Header
) -> Changes:
    """It waits no more, and is owed."""
    return {
        PENDING: None,
        f"c{CHAIN}": None,
        f"{START_PREFIX}{event.sequence}": get_pending(rows),
    }


def fold_sent(
    _rows: Rows, _event: Event, body: DebouncedStartSent, _header: Header
) -> Changes:
    """It is owed no more."""
    return {f"{START_PREFIX}{body.elapsed}": None}


DEBOUNCE_EVENTS: Mapping[type[Body], EventKind[Any]] = {
    kind.event: kind
    for kind in (
        EventKind(event=StartDebounced, fold=fold_debounced),
        EventKind(event=DebounceElapsed, fold=fold_elapsed),
        EventKind(event=DebouncedStartSent, fold=fold_sent),
    )
}
"""The kinds of event of debounced starts. `Any`: each is checked where it is made."""
