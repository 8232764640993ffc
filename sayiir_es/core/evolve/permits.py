"""What the events of permits do: at the limit, and at the instance that holds one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sayiir_es.core.model.permit_events import (
    PermitGranted,
    PermitQueued,
    PermitReleased,
    PermitReturned,
    PermitTaken,
    permit_name,
)
from sayiir_es.core.model.permit_rows import (
    GRANTED_PREFIX,
    LIMIT,
    PERMIT_PREFIX,
    QUEUED_PREFIX,
    answered_key,
    ask_of,
    get_granted,
    get_limit,
    get_permits,
    get_queued,
    is_held,
)
from sayiir_es.core.model.rows import Ask, Limit, Permit, chain_of, get_cursor
from sayiir_es.core.model.waits import Awaiting
from sayiir_es.core.nodes.kinds import EventKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.model.events import Body, Event
    from sayiir_es.core.model.rows import Changes, Header, Rows


def fold_queued(
    rows: Rows, _event: Event, body: PermitQueued, _header: Header
) -> Changes:
    """It waits behind all others."""
    state = get_limit(rows)
    return {
        f"{QUEUED_PREFIX}{state.tail}": _ask(body),
        answered_key(body.holder, body.path, body.ask): 0,
        LIMIT: Limit(in_use=state.in_use, head=state.head, tail=state.tail + 1),
    }


def fold_granted(
    rows: Rows, event: Event, body: PermitGranted, _header: Header
) -> Changes:
    """One more is in use; who waited first, if it is that one, waits no more."""
    state, ask = get_limit(rows), _ask(body)
    changes: Changes = {
        f"{GRANTED_PREFIX}{event.sequence}": ask,
        answered_key(body.holder, body.path, body.ask): event.sequence,
    }
    head = state.head
    if get_queued(rows, head) == ask:
        changes[f"{QUEUED_PREFIX}{head}"] = None
        head += 1
    changes[LIMIT] = Limit(in_use=state.in_use + 1, head=head, tail=state.tail)
    return changes


def fold_returned(
    rows: Rows, _event: Event, body: PermitReturned, _header: Header
) -> Changes:
    """One less is in use; the limit forgets for whom it was."""
    ask = get_granted(rows, body.permit)
    if ask is None:
        return {}
    state = get_limit(rows)
    return {
        f"{GRANTED_PREFIX}{body.permit}": None,
        answered_key(ask.holder, ask.path, ask.ask): None,
        LIMIT: Limit(in_use=state.in_use - 1, head=state.head, tail=state.tail),
    }


def fold_taken(rows: Rows, event: Event, body: PermitTaken, header: Header) -> Changes:
    """The instance owes it; the attempt has it, if it is the one that asked."""
    if body.holder != event.instance_id:
        return {}  # recorded again, of the source of a fork
    name = permit_name(body.key, body.permit)
    changes: Changes = {PERMIT_PREFIX + name: Permit(path=body.path, ask=body.ask)}
    chain = chain_of(body.path)
    cursor = get_cursor(rows, chain)
    if (
        header.phase == "running"
        and cursor is not None
        and cursor.path == body.path
        and isinstance(cursor.wait, Awaiting)
        and not cursor.wait.permit
        and ask_of(header, cursor.wait) == body.ask
    ):
        changes["c" + chain] = replace(cursor, wait=replace(cursor.wait, permit=name))
    return changes


def fold_released(
    _rows: Rows, event: Event, body: PermitReleased, _header: Header
) -> Changes:
    """The instance owes it no more."""
    if body.holder != event.instance_id:
        return {}
    return {PERMIT_PREFIX + permit_name(body.key, body.permit): None}


def without_permits(rows: Rows) -> Changes:
    """The waits that have a permit, without it, behind a pause.

    These were withdrawn before, and asked again: what has begun is withdrawn before a
    pause applies. Behind the unpause they ask anew.
    """
    changes: Changes = {}
    for name, permit in get_permits(rows):
        if is_held(rows, name, permit):
            chain = chain_of(permit.path)
            cursor = get_cursor(rows, chain)
            assert cursor is not None
            assert isinstance(cursor.wait, Awaiting)
            wait = replace(cursor.wait, permit="")
            changes["c" + chain] = replace(cursor, wait=wait)
    return changes


def _ask(body: PermitQueued | PermitGranted) -> Ask:
    return Ask(holder=body.holder, path=body.path, ask=body.ask, limit=body.limit)


PERMIT_EVENTS: Mapping[type[Body], EventKind[Any]] = {
    kind.event: kind
    for kind in (
        EventKind(event=PermitQueued, fold=fold_queued),
        EventKind(event=PermitGranted, fold=fold_granted),
        EventKind(event=PermitReturned, fold=fold_returned),
        EventKind(event=PermitTaken, fold=fold_taken, sequences=("ask",)),
        EventKind(event=PermitReleased, fold=fold_released),
    )
}
"""The kinds of event of permits. `Any`: each is checked where it is made."""
