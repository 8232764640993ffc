"""Which moves are owed, and what holds them back: functions of rows alone.

The same live, where `settle` makes them, and after a crash, where the next owner finds
the rest of a decision that was cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from sayiir_es.core.graph.paths import join
from sayiir_es.core.model.rows import (
    TERMINAL,
    Cursor,
    Header,
    Rows,
    get_buffered,
    get_cursor,
    get_cursors,
    get_header,
)
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
from sayiir_es.core.nodes import loop, signal, task

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph


def is_held(header: Header) -> bool:
    """Whether a requested cancel or pause holds every move back."""
    return header.cancel is not None or header.pause is not None


def is_move(rows: Rows, header: Header, cursor: Cursor) -> bool:
    """Whether this cursor's next move is owed now.

    Of a fork it says so while a branch may be unopened; the move itself finds out.
    """
    wait = cursor.wait
    if isinstance(wait, Broken):
        return header.cancel is None
    if is_held(header):
        return False
    match wait:
        case Ended() | Branching():
            return True
        case Listening():
            return (
                bool(get_buffered(rows, wait.signal))
                and signal.oldest_wait(rows, wait.signal) == cursor.path
            )
        case Awaiting() | Sleeping():
            return False
        case Routing() | Looping() | Inside():
            return get_cursor(rows, inner_chain(cursor)) is None
        case _:
            assert_never(wait)


def inner_chain(cursor: Cursor) -> str:
    """The chain that a cursor at a route, loop or child waits for."""
    wait = cursor.wait
    if isinstance(wait, Routing):
        return join(cursor.path, wait.branch)
    if isinstance(wait, Looping):
        return loop.body_of(cursor.path, wait.iteration)
    return cursor.path


def owed_moves(rows: Rows, graph: Graph) -> list[str]:
    """The chains whose cursor's move is owed, in graph order."""
    header = get_header(rows)
    if header is None or header.phase != "running":
        return []
    found = [
        (order(graph, cursor.path), chain)
        for chain, cursor in get_cursors(rows)
        if is_move(rows, header, cursor)
    ]
    return [chain for _, chain in sorted(found)]


def is_request_owed(rows: Rows, at_ms: int) -> bool:
    """Whether a requested cancel or pause has nothing left to wait for at `at_ms`."""
    header = get_header(rows)
    if header is None or not is_held(header) or header.phase in TERMINAL:
        return False
    if header.cancel is None and header.phase == "paused":
        return False
    return not runs(rows, header, at_ms)


def runs(rows: Rows, header: Header, at_ms: int) -> bool:
    """Whether an attempt runs, or may, at `at_ms`."""
    return any(
        isinstance(cursor.wait, Awaiting)
        and task.is_running(header, cursor.wait, at_ms)
        for _, cursor in get_cursors(rows)
    )


def order(graph: Graph, path: str) -> int:
    """Where a path stands in graph order."""
    place = graph.place(path)
    return -1 if place is None else place.order
