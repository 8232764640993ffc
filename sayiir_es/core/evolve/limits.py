"""What the events of a limit do to its rows: its queue, its tokens, what is set.

Whatever happens, the row of its timer says from when on who waits longest may have a
permit, if nothing but time is in the way. So what one decision has no room to grant,
and what waits for a token, is granted later, by whoever owns the limit then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sayiir_es.core.evolve import run_permits
from sayiir_es.core.model.headers import header_after, remember_command
from sayiir_es.core.model.permit_events import (
    LimitSet,
    PermitGranted,
    PermitQueued,
    PermitReturned,
)
from sayiir_es.core.model.permit_rows import (
    GRANTED_PREFIX,
    LIMIT,
    QUEUED_PREFIX,
    SETTING,
    answered_key,
    get_granted,
    get_limit,
    get_queued,
    get_setting,
    grantable_at,
    rate_in_force,
    rate_of,
)
from sayiir_es.core.model.rates import parse_rate, rescale
from sayiir_es.core.model.rows import Ask, Cursor, LimitSetting, StagedRows
from sayiir_es.core.model.run_permit_events import is_queue
from sayiir_es.core.model.waits import Granting
from sayiir_es.core.nodes.kinds import EventKind

if TYPE_CHECKING:
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.rows import Changes, Header, Limit, Rows


def fold_queued(
    rows: Rows, event: Event, body: PermitQueued, _header: Header
) -> Changes:
    """It waits behind all others."""
    ask = ask_of_event(body, event.at)
    state = with_rate_of(get_limit(rows), get_setting(rows), ask, event.at)
    changes: Changes = {
        f"{QUEUED_PREFIX}{state.tail}": ask,
        answered_key(body.holder, body.path, body.ask): 0,
        LIMIT: replace(state, tail=state.tail + 1),
    }
    return _with_timer(rows, changes, event.at)


def fold_granted(
    rows: Rows, event: Event, body: PermitGranted, _header: Header
) -> Changes:
    """One more is in use; who waited first, if it is that one, waits no more."""
    state, setting = get_limit(rows), get_setting(rows)
    ask, first = ask_of_event(body, event.at), get_queued(rows, state.head)
    changes: Changes = {
        f"{GRANTED_PREFIX}{event.sequence}": ask,
        answered_key(body.holder, body.path, body.ask): event.sequence,
    }
    if first is not None and _is_same(first, ask):
        changes[f"{QUEUED_PREFIX}{state.head}"] = None
        state = replace(state, head=state.head + 1)
    else:
        state = with_rate_of(state, setting, ask, event.at)
    rate, full_at_us = rate_of(ask, state, setting), state.full_at_us
    if rate is not None:
        full_at_us = parse_rate(rate).spend(full_at_us, event.at)
    changes[LIMIT] = replace(state, in_use=state.in_use + 1, full_at_us=full_at_us)
    return _with_timer(rows, changes, event.at)


def fold_returned(
    rows: Rows, event: Event, body: PermitReturned, _header: Header
) -> Changes:
    """One less is in use; the limit forgets for whom it was."""
    ask = get_granted(rows, body.permit)
    if ask is None:
        return {}
    state = get_limit(rows)
    changes: Changes = {
        f"{GRANTED_PREFIX}{body.permit}": None,
        answered_key(ask.holder, ask.path, ask.ask): None,
        LIMIT: replace(state, in_use=state.in_use - 1),
    }
    return _with_timer(rows, changes, event.at)


def fold_set(rows: Rows, event: Event, body: LimitSet, header: Header) -> Changes:
    """From here on it is in force; as many tokens lack as before."""
    if is_queue(event.instance_id):
        return run_permits.fold_set(rows, event, body, header)
    state, setting = get_limit(rows), None
    if body.max_concurrency is not None or body.rate is not None:
        setting = LimitSetting(
            max_concurrency=body.max_concurrency,
            rate=body.rate,
            at=event.at,
            reason=body.reason,
            requested_by=body.requested_by,
        )
    before = rate_in_force(state, get_setting(rows))
    after, full_at_us = rate_in_force(state, setting), state.full_at_us
    if after is None:
        full_at_us = 0
    elif before is not None:
        full_at_us = rescale(full_at_us, event.at, before, after)
    changes: Changes = {
        SETTING: setting,
        LIMIT: replace(state, full_at_us=full_at_us),
    }
    changes["h"] = replace(
        header_after(header, event),
        command_ids=remember_command(rows, event, body.command_id, changes, header),
    )
    return _with_timer(rows, changes, event.at)


def with_rate_of(
    state: Limit, setting: LimitSetting | None, ask: Ask, now_ms: int
) -> Limit:
    """The limit behind an ask that arrives: the last rate that a task names counts."""
    if ask.rate is None or ask.rate == state.rate:
        return state
    full_at_us = state.full_at_us
    if state.rate is not None and rate_in_force(state, setting) == state.rate:
        full_at_us = rescale(full_at_us, now_ms, state.rate, ask.rate)
    return replace(state, rate=ask.rate, full_at_us=full_at_us)


def ask_of_event(body: PermitQueued | PermitGranted, at: int) -> Ask:
    """Who asked, by the event that answers."""
    return Ask(
        holder=body.holder,
        path=body.path,
        ask=body.ask,
        limit=body.limit,
        rate=body.rate,
        at=at,
    )


def _is_same(first: Ask, other: Ask) -> bool:
    return (first.holder, first.path, first.ask) == (
        other.holder,
        other.path,
        other.ask,
    )


def _with_timer(rows: Rows, changes: Changes, now_ms: int) -> Changes:
    """The changes, and that of the timer, by the rows behind them."""
    behind = StagedRows(rows, changes)
    state, due_at = get_limit(behind), None
    first = get_queued(behind, state.head)
    if first is not None:
        due_at = grantable_at(first, state, get_setting(behind), now_ms)
    timer = None
    if due_at is not None:
        timer = Cursor(path="", input="", wait=Granting(due_at=due_at))
    if timer != rows.get("c"):
        changes["c"] = timer
    return changes


LIMIT_EVENTS: tuple[EventKind[Any], ...] = (
    EventKind(event=PermitQueued, fold=fold_queued),
    EventKind(event=PermitGranted, fold=fold_granted),
    EventKind(event=PermitReturned, fold=fold_returned),
    EventKind(event=LimitSet, fold=fold_set),
)
"""The kinds of event of limits. `Any`: each is checked where it is made."""
