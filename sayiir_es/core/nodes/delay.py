"""A durable delay: parks the cursor until its time; its input passes through.

A delay always parks, even for 0 s. Its end is computed when it is entered, from the
owner's clock, and stands in the event; clocks go on while the run is paused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.graph.nodes import DelayNode
from sayiir_es.core.graph.paths import node_name
from sayiir_es.core.instants import instant
from sayiir_es.core.model.events import DelayElapsed, DelayStarted
from sayiir_es.core.model.rows import Changes, Cursor, Rows, chain_of, get_cursor
from sayiir_es.core.model.waits import Ended, Sleeping
from sayiir_es.core.nodes.kinds import EventKind, NodeKind, WaitKind

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.nodes import Node
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.rows import Header


# --- decide ---------------------------------------------------------------------------


def open_delay(draft: Draft, node: DelayNode, path: str, reference: str) -> None:
    """The cursor arrives and sleeps."""
    draft.emit(
        DelayStarted(path=path, due_at=draft.now_ms + node.duration_ms, input=reference)
    )


def elapse(draft: Draft, cursor: Cursor, _wait: Sleeping) -> None:
    """Its time has come."""
    draft.emit(DelayElapsed(path=cursor.path))
    draft.touched.append(chain_of(cursor.path))


def due_at(wait: Sleeping) -> int:
    """When the delay ends."""
    return wait.due_at


# --- evolve ---------------------------------------------------------------------------


def fold_started(
    _rows: Rows, _event: Event, body: DelayStarted, _header: Header
) -> Changes:
    """The chain's cursor sleeps."""
    return {
        "c" + chain_of(body.path): Cursor(
            path=body.path, input=body.input, wait=Sleeping(due_at=body.due_at)
        )
    }


def fold_elapsed(
    rows: Rows, _event: Event, body: DelayElapsed, _header: Header
) -> Changes:
    """What came in goes on; moving on is owed."""
    chain = chain_of(body.path)
    cursor = get_cursor(rows, chain)
    if cursor is None or cursor.path != body.path:
        return {}
    return {
        "c" + chain: Cursor(
            path=body.path, input=cursor.input, wait=Ended(result=cursor.input)
        )
    }


# --- status ---------------------------------------------------------------------------


def sentence(cursor: Cursor, wait: Sleeping, _node: Node | None) -> str:
    """What a status says of it."""
    return f"delay {cursor.path!r} until {instant(wait.due_at)}"


def searched_as(cursor: Cursor, _wait: Sleeping) -> str:
    """By what searches find it."""
    return f"delay:{node_name(cursor.path)}"


DELAY = NodeKind(node=DelayNode, open=open_delay)
SLEEPING = WaitKind(
    wait=Sleeping,
    may_owe=False,
    wakes_at=due_at,
    fires_at=due_at,
    fire=elapse,
    status="waiting",
    sentence=sentence,
    searched_as=searched_as,
)
EVENTS = (
    EventKind(event=DelayStarted, fold=fold_started, references=("input",)),
    EventKind(event=DelayElapsed, fold=fold_elapsed),
)
