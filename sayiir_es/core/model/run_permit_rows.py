"""The rows of run permits: at the instances that wait or run, and at the start queues.

At an instance:

    c%queue            Cursor: its run waits for a permit, or has one (see `waits`)

At a start queue:

    U                  StartQueueState: how many are in use, who is first and last
    U=                 StartQueueSetting: what was set in place of what the flow says
    U#<number>         QueuedRun: who waits there, and between whom
    U?<ask>:<holder>   int: the number under which it waits
    U$<ask>:<holder>   int: it has a permit, since then in epoch milliseconds

    c                  Cursor: Granting, while who waits longest may have a permit, and
                       has none, as one decision grants no more than so many

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
    StartQueueSetting,
    StartQueueState,
    get_cursor,
)
from sayiir_es.core.model.run_permit_events import MESSAGE_PREFIX
from sayiir_es.core.model.waits import AwaitingRunPermit, HoldingRunPermit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.core.model.rows import Rows

CHAIN = "%queue"
"""The chain of the cursor that waits for a run permit or has one: no path names it."""

STATE = "U"
SETTING = "U="
QUEUED_PREFIX = "U#"
GRANTED_PREFIX = "U$"

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


def get_setting(rows: Rows) -> StartQueueSetting | None:
    """What was set for a start queue; None if nothing was, or what was is unset."""
    row = rows.get(SETTING)
    assert row is None or isinstance(row, StartQueueSetting), row
    return row


def most_in_use(limit: int, setting: StartQueueSetting | None) -> int:
    """How many permits may be in use, where the workflow says `limit`."""
    if setting is not None and setting.max_running is not None:
        return setting.max_running
    return limit


def length_in_force(
    length: int | None, setting: StartQueueSetting | None
) -> int | None:
    """How many may wait, where the workflow says `length`; None: any number."""
    if setting is not None and setting.queue_length is not None:
        return setting.queue_length
    return length


def may_grant(rows: Rows) -> bool:
    """Whether who waits longest may have a permit now."""
    state = get_state(rows)
    if not state.waiting:
        return False
    return state.in_use < most_in_use(state.limit, get_setting(rows))


def get_asked(rows: Rows, holder: str, ask: int) -> int | None:
    """The number under which it waits, 0 if it has a permit; None: it is not known."""
    row = rows.get(asked_key(holder, ask))
    assert row is None or isinstance(row, int), row
    if row is None and rows.get(granted_key(holder, ask)) is not None:
        return 0
    return row


def get_all_granted(rows: Rows) -> Iterator[tuple[str, int, int]]:
    """Who has a permit, by which ask, and since when, in epoch milliseconds."""
    for key in rows.keys(GRANTED_PREFIX):
        row = rows.get(key)
        assert isinstance(row, int), row
        ask, _, holder = key.removeprefix(GRANTED_PREFIX).partition(":")
        yield holder, int(ask), row


def get_message(rows: Rows, key: str) -> RunPermitMessage | None:
    """The message that is owed by the row of that key."""
    row = rows.get(key)
    assert row is None or isinstance(row, RunPermitMessage), row
    return row


def asked_key(holder: str, ask: int) -> str:
    """Under which a queue knows that it waits."""
    return f"U?{ask}:{holder}"


def granted_key(holder: str, ask: int) -> str:
    """Under which a queue knows that it has a permit."""
    return f"{GRANTED_PREFIX}{ask}:{holder}"


def message_key(kind: str, ask: int, other: str) -> str:
    """The key of the row that owes such a message."""
    return f"{MESSAGE_PREFIX}{ask}:{kind}:{other}"
