"""Which rows put an instance into the indexes of a snapshot store.

An instance that has ended is in none but that of permits. What a row says is said by
that row alone, so an index follows from the rows that changed; only an end, and a retry
behind it, moves all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.headers import is_requested, is_stopping
from sayiir_es.core.model.permit_rows import LIMIT, PERMIT_PREFIX
from sayiir_es.core.model.rows import (
    TERMINAL,
    Cursor,
    Header,
    Limit,
    LimitSetting,
    Permit,
    StartQueueSetting,
    StartQueueState,
)
from sayiir_es.core.model.run_permit_rows import SETTING, STATE
from sayiir_es.core.nodes.registry import WAITS

if TYPE_CHECKING:
    from sayiir_es.core.model.rows import Row

HEADER = "h"
RUN = "r"
CURSOR_PREFIX = "c"

PERMITS = (PERMIT_PREFIX, LIMIT)
"""How the keys of rows begin that say of permits: these stand in an index of their own.
"""

QUEUES = frozenset((STATE, SETTING))
"""The keys of rows that put a start queue into that index: of all its rows these two
alone, as one that has a million who wait has two rows of each."""

INDEXED = (HEADER, CURSOR_PREFIX)
"""How the keys of rows begin that can stand in an index."""


def has_ended(header: Row | None) -> bool:
    """Whether an instance with that header owes nothing and has no timers."""
    return not isinstance(header, Header) or header.phase in TERMINAL


def may_owe(row: Row | None) -> bool:
    """Whether an instance with that row may owe an attempt or a move."""
    if isinstance(row, Cursor):
        return WAITS[type(row.wait)].may_owe
    if isinstance(row, Header):
        # Of a request that was recorded, the effect may have been cut off.
        if row.phase == "quarantined":
            return row.cancel is not None and is_stopping(row)
        is_asked = is_requested(row) or row.compensation != "none"
        return row.buffered > 0 or (row.phase == "running" and is_asked)
    return False


def holds_permits(row: Row | None) -> bool:
    """Whether that row is of a permit that its instance has, or of a limit in use.

    Or of a start queue with runs that go on or wait, or that was set.
    """
    if isinstance(row, Limit):
        return row.in_use > 0 or row.head < row.tail
    if isinstance(row, StartQueueState):
        return row.in_use > 0 or row.waiting > 0
    return isinstance(row, Permit | LimitSetting | StartQueueSetting)


def wakes_at(row: Row | None) -> int | None:
    """When a cursor wakes by itself, in epoch milliseconds."""
    if not isinstance(row, Cursor):
        return None
    return WAITS[type(row.wait)].wakes_at(row.wait)
