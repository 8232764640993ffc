"""Fold one event into the rows of its instance: the only meaning an event has.

`evolve` is pure and total. It has no clock and no definition: time and names come from
the event. The live state, a new owner's recovery, a projector and an audit all call it,
so they cannot disagree. What an event of a construct does stands in its module under
`nodes/`, what an event of a run does in `lifecycle`; this module dispatches and counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sayiir_es.core.evolve.debounce import DEBOUNCE_EVENTS
from sayiir_es.core.evolve.lifecycle import RUN_EVENTS
from sayiir_es.core.evolve.permits import PERMIT_EVENTS
from sayiir_es.core.evolve.run_permits import RUN_PERMIT_EVENTS
from sayiir_es.core.model.headers import header_after, header_of
from sayiir_es.core.nodes.registry import NODE_EVENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sayiir_es.core.model.events import Body, Event
    from sayiir_es.core.model.rows import Changes, Header, Rows
    from sayiir_es.core.nodes.kinds import EventKind

# `Any`: each kind is checked against its own class where it is made.
EVENTS: Mapping[type[Body], EventKind[Any]] = {
    **NODE_EVENTS,
    **RUN_EVENTS,
    **PERMIT_EVENTS,
    **RUN_PERMIT_EVENTS,
    **DEBOUNCE_EVENTS,
}
"""Every kind of event, by the class of its body."""

_FOLDS = {body: kind.fold for body, kind in EVENTS.items()}


def evolve(rows: Rows, event: Event) -> Changes:
    """The rows that the event changes, as they are behind it.

    An event of the partition, and one without a sequence, changes no row.
    """
    if event.sequence == 0:
        return {}
    return evolve_behind(rows, event, header_of(rows))


def evolve_behind(rows: Rows, event: Event, header: Header) -> Changes:
    """The same of an event with a sequence, where the header of the rows is known."""
    body = event.body
    changes = _FOLDS[type(body)](rows, event, body, header)
    if "h" not in changes:
        changes["h"] = header_after(header, event)
    return changes
