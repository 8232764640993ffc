"""Which rows put an instance into the indexes of a snapshot store.

An instance that has ended is in none. What a row says is said by that row alone, so an
index follows from the rows that changed; only an end, and a retry behind it, moves all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from sayiir_es.core.model.rows import TERMINAL, Cursor, Header
from sayiir_es.core.model.waits import (
    Awaiting,
    Branching,
    Broken,
    Ended,
    Inside,
    Listening,
    Looping,
    Routing,
    Sleeping,
)

if TYPE_CHECKING:
    from sayiir_es.core.model.rows import Row
    from sayiir_es.core.model.waits import Wait

HEADER = "h"
CURSOR_PREFIX = "c"

INDEXED = (HEADER, CURSOR_PREFIX)
"""How the keys of rows begin that can stand in an index."""


def has_ended(header: Row | None) -> bool:
    """Whether an instance with that header owes nothing and has no timers."""
    return not isinstance(header, Header) or header.phase in TERMINAL


def may_owe(row: Row | None) -> bool:
    """Whether an instance with that row may owe an attempt or a move."""
    match row:
        case Header():
            # Of a request that was recorded, the effect may have been cut off.
            asked = row.cancel is not None or row.pause is not None
            return row.buffered > 0 or (row.phase == "running" and asked)
        case Cursor():
            return _may_owe(row.wait)
        case _:
            return False


def _may_owe(wait: Wait) -> bool:
    match wait:
        case Awaiting() | Ended() | Broken():
            return True
        case Branching() | Routing() | Looping() | Inside():
            return True  # a decision may have been cut before the inner chain opened
        case Sleeping() | Listening():
            return False
        case _:
            assert_never(wait)


def wakes_at(row: Row | None) -> int | None:
    """When a cursor wakes by itself, in epoch milliseconds.

    A deadline is set when the attempt begins, so its backoff is over then.
    """
    if not isinstance(row, Cursor):
        return None
    wait = row.wait
    match wait:
        case Awaiting():
            if wait.deadline_at is not None:
                return wait.deadline_at
            return wait.not_before or None
        case Sleeping():
            return wait.due_at
        case Listening():
            return wait.until_at
        case Ended() | Broken() | Branching() | Routing() | Looping() | Inside():
            return None
        case _:
            assert_never(wait)
