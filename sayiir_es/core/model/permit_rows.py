"""The rows of permits: at the instances that have them, and at the limits.

At an instance:

    P<name>            Permit: it has that permit, or owes its return

At a limit:

    L                  Limit: how many are in use, the ends of its queue, its tokens
    L=                 LimitSetting: what was set in place of what tasks say
    L#<number>         Ask: who waits at that place of the queue
    L$<permit>         Ask: who has that permit
    L?<ask>:<holder>:<path>
                       int: the permit that was granted for the ask; 0 while it waits

    c                  Cursor: Granting, while the time alone keeps who waits longest

An instance *holds* a permit while one of its cursors awaits an attempt that has it. As
soon as none does, the permit is to be returned; nothing else says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.rates import parse_rate
from sayiir_es.core.model.rows import (
    Ask,
    Cursor,
    Limit,
    LimitSetting,
    Permit,
    chain_of,
    get_cursor,
    get_header,
)
from sayiir_es.core.model.waits import Awaiting, Granting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.core.model.rows import Header, Rows

PERMIT_PREFIX = "P"
LIMIT = "L"
SETTING = "L="
QUEUED_PREFIX = "L#"
GRANTED_PREFIX = "L$"

EMPTY = Limit(in_use=0, head=0, tail=0)
"""Of a limit that nobody has asked for a permit."""


def get_permit(rows: Rows, name: str) -> Permit | None:
    """A permit that the instance has, or owes."""
    row = rows.get(PERMIT_PREFIX + name)
    assert row is None or isinstance(row, Permit), row
    return row


def get_permits(rows: Rows) -> Iterator[tuple[str, Permit]]:
    """All permits that the instance has, or owes, by name."""
    for key in rows.keys(PERMIT_PREFIX):
        permit = get_permit(rows, key.removeprefix(PERMIT_PREFIX))
        if permit is not None:
            yield key.removeprefix(PERMIT_PREFIX), permit


def is_held(rows: Rows, name: str, permit: Permit) -> bool:
    """Whether an attempt has the permit; if not, it is to be returned.

    Once this is false of a permit it stays so: whatever takes a permit from a wait, or
    ends the phase of running, leaves waits without one behind.
    """
    header = get_header(rows)
    cursor = get_cursor(rows, chain_of(permit.path))
    return (
        header is not None
        and header.phase == "running"
        and cursor is not None
        and cursor.path == permit.path
        and isinstance(cursor.wait, Awaiting)
        and cursor.wait.permit == name
    )


def ask_of(header: Header, wait: Awaiting) -> int:
    """What names the ask for a permit of this wait, in its instance.

    Another one as soon as a permit may have been granted for it and returned: behind a
    withdrawal, a pause, a retry, a release from quarantine. And behind a migration: the
    task may name another limit.
    """
    return max(wait.due, wait.withdrawn, header.unpaused, header.migrated)


def get_limit(rows: Rows) -> Limit:
    """How many permits of a limit are in use, and who waits."""
    row = rows.get(LIMIT)
    assert row is None or isinstance(row, Limit), row
    return EMPTY if row is None else row


def get_queued(rows: Rows, number: int) -> Ask | None:
    """Who waits at that place of a limit's queue."""
    return _ask(rows, f"{QUEUED_PREFIX}{number}")


def get_granted(rows: Rows, permit: int) -> Ask | None:
    """Who has that permit of a limit."""
    return _ask(rows, f"{GRANTED_PREFIX}{permit}")


def get_all_granted(rows: Rows) -> Iterator[tuple[int, Ask]]:
    """All permits of a limit that are in use."""
    for key in rows.keys(GRANTED_PREFIX):
        ask = _ask(rows, key)
        if ask is not None:
            yield int(key.removeprefix(GRANTED_PREFIX)), ask


def get_setting(rows: Rows) -> LimitSetting | None:
    """What was set for a limit; None if nothing was, or what was is unset."""
    row = rows.get(SETTING)
    assert row is None or isinstance(row, LimitSetting), row
    return row


def rate_in_force(state: Limit, setting: LimitSetting | None) -> str | None:
    """The rate at which tokens come back; None while no task has named one."""
    if setting is not None and setting.rate is not None:
        return setting.rate
    return state.rate


def rate_of(ask: Ask, state: Limit, setting: LimitSetting | None) -> str | None:
    """The rate that holds the ask: the one in force, if it has to take a token.

    It has where its task names a rate, or one was set.
    """
    if ask.rate is None and (setting is None or setting.rate is None):
        return None
    return rate_in_force(state, setting)


def most_in_use(ask: Ask, setting: LimitSetting | None) -> int | None:
    """How many permits may be in use once that ask is granted; None for any number."""
    if setting is not None and setting.max_concurrency is not None:
        return setting.max_concurrency
    return ask.limit or None


def grantable_at(
    ask: Ask, state: Limit, setting: LimitSetting | None, now_ms: int
) -> int | None:
    """When time alone lets the limit grant that ask; None if a return has to come."""
    most = most_in_use(ask, setting)
    if most is not None and state.in_use >= most:
        return None
    rate = rate_of(ask, state, setting)
    if rate is None:
        return now_ms
    return max(now_ms, parse_rate(rate).ready_at(state.full_at_us))


def get_grant_timer(rows: Rows) -> int | None:
    """When the next that waits is to be granted, in epoch milliseconds, if by time."""
    row = rows.get("c")
    if not isinstance(row, Cursor) or not isinstance(row.wait, Granting):
        return None
    return row.wait.due_at


def answered_key(holder: str, path: str, ask: int) -> str:
    """Under which a limit knows that it was asked for that attempt."""
    return f"L?{ask}:{holder}:{path}"


def _ask(rows: Rows, key: str) -> Ask | None:
    row = rows.get(key)
    assert row is None or isinstance(row, Ask), row
    return row
