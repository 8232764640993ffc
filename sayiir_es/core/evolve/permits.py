"""What the events of permits do at the instance that holds one; `limits` has others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sayiir_es.core.evolve.limits import LIMIT_EVENTS
from sayiir_es.core.model.permit_events import (
    PermitReleased,
    PermitTaken,
    permit_name,
)
from sayiir_es.core.model.permit_rows import (
    PERMIT_PREFIX,
    ask_of,
    get_permits,
    is_held,
)
from sayiir_es.core.model.rows import Permit, chain_of, get_cursor
from sayiir_es.core.model.waits import Awaiting
from sayiir_es.core.nodes.kinds import EventKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.model.events import Body, Event
    from sayiir_es.core.model.rows import Changes, Header, Rows


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


PERMIT_EVENTS: Mapping[type[Body], EventKind[Any]] = {
    kind.event: kind
    for kind in (
        *LIMIT_EVENTS,
        EventKind(event=PermitTaken, fold=fold_taken, sequences=("ask",)),
        EventKind(event=PermitReleased, fold=fold_released),
    )
}
"""The kinds of event of permits. `Any`: each is checked where it is made."""
