"""The rows of run permits: at the instances that wait or run, and at the start queues.

At an instance:

    c%queue            Cursor: its run waits for a permit, or has one (see `waits`)

At a start queue:

    U                  StartQueueState: how many are in use, who is first and last
    U#<number>         QueuedRun: who waits there, and between whom
    U?<ask>:<holder>   int: the number under which it waits; 0: it has a permit

At both:

    Q<ask>:<kind>:<other>
                       RunPermitMessage: a command that is owed

The number of who waits is the sequence of its `RunPermitQueued`. Who waits knows its
neighbours, so whoever leaves the queue does so at the same cost, whatever its length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.rows import (
    QueuedRun,
    RunPermitMessage,
    StartQueueState,
    get_cursor,
)
from sayiir_es.core.model.run_permit_events import MESSAGE_PREFIX
from sayiir_es.core.model.waits import AwaitingRunPermit, HoldingRunPermit

if TYPE_CHECKING:
    from sayiir_es.core.model.rows import Rows

CHAIN = "%queue"
"""The chain of the cursor that waits for a run permit or has one: no path names it."""

STATE = "U"
QUEUED_PREFIX = "U#"

EMPTY = StartQueueState(in_use=0, waiting=0, first=0, last=0, limit=0)
"""Of a queue that nobody has asked."""


def get_run_permit(rows: Rows) -> AwaitingRunPermit | HoldingRunPermit | None:
    """What the run waits for, or has; None where its workflow has no start queue."""
    cursor = get_cursor(rows, CHAIN)
    if cursor is None:
        return None
    assert isinstance(cursor.wait, AwaitingRunPermit | HoldingRunPermit), cursor
    return cursor.wait


def get_state(rows: Rows) -> StartQueueState:
    """How a start queue stands."""
    row = rows.get(STATE)
    assert row is None or isinstance(row, StartQueueState), row
    return EMPTY if row is None else row


def get_queued(rows: Rows, number: int) -> QueuedRun | None:
    """Who waits under that number."""
    row = rows.get(f"{QUEUED_PREFIX}{number}")
    assert row is None or isinstance(row, QueuedRun), row
    return row


def get_asked(rows: Rows, holder: str, ask: int) -> int | None:
    """The number under which it waits, 0 if it has a permit; None: it is not known."""
    row = rows.get(asked_key(holder, ask))
    assert row is None or isinstance(row, int), row
    return row


def get_message(rows: Rows, key: str) -> RunPermitMessage | None:
    """The message that is owed by the row of that key."""
    row = rows.get(key)
    assert row is None or isinstance(row, RunPermitMessage), row
    return row


def asked_key(holder: str, ask: int) -> str:
    """Under which a queue knows that it was asked."""
    return f"U?{ask}:{holder}"


def message_key(kind: str, ask: int, other: str) -> str:
    """The key of the row that owes such a message."""
    return f"{MESSAGE_PREFIX}{ask}:{kind}:{other}"
