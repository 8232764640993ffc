"""Which moves are owed, and what holds them back: functions of rows alone.

The same live, where `settle` makes them, and after a crash, where the next owner finds
the rest of a decision that was cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from sayiir_es.core.nodes import loop, signal, task
from sayiir_es.core.paths import join
from sayiir_es.core.rows import (
    TERMINAL,
    Cursor,
    Header,
    Rows,
    buffered,
    cursor,
    cursors,
    header,
)
from sayiir_es.core.waits import (
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
    from sayiir_es.core.definition import Graph


def is_held(known: Header) -> bool:
    """Whether a requested cancel or pause holds every move back."""
    return known.cancel is not None or known.pause is not None


def is_move(rows: Rows, known: Header, standing: Cursor) -> bool:
    """Whether this cursor's next move is owed now.

    Of a fork it says so while a branch may be unopened; the move itself finds out.
    """
    wait = standing.wait
    if isinstance(wait, Broken):
        return known.cancel is None
    if is_held(known):
        return False
    match wait:
        case Ended() | Branching():
            return True
        case Listening():
            return (
                bool(buffered(rows, wait.signal))
                and signal.oldest_wait(rows, wait.signal) == standing.path
            )
        case Awaiting() | Sleeping():
            return False
        case Routing() | Looping() | Inside():
            return cursor(rows, inner_chain(standing)) is None
        case _:
            assert_never(wait)


def inner_chain(standing: Cursor) -> str:
    """The chain that a cursor at a route, loop or child waits for."""
    wait = standing.wait
    if isinstance(wait, Routing):
        return join(standing.path, wait.branch)
    if isinstance(wait, Looping):
        return loop.body_of(standing.path, wait.iteration)
    return standing.path


def owed_moves(rows: Rows, graph: Graph) -> list[str]:
    """The chains whose cursor's move is owed, in graph order."""
    known = header(rows)
    if known is None or known.phase != "running":
        return []
    found = [
        (order(graph, standing.path), chain)
        for chain, standing in cursors(rows)
        if is_move(rows, known, standing)
    ]
    return [chain for _, chain in sorted(found)]


def is_request_owed(rows: Rows, at_ms: int) -> bool:
    """Whether a requested cancel or pause has nothing left to wait for at `at_ms`."""
    known = header(rows)
    if known is None or not is_held(known) or known.phase in TERMINAL:
        return False
    if known.cancel is None and known.phase == "paused":
        return False
    return not runs(rows, known, at_ms)


def runs(rows: Rows, known: Header, at_ms: int) -> bool:
    """Whether an attempt runs, or may, at `at_ms`."""
    return any(
        isinstance(standing.wait, Awaiting)
        and task.is_running(known, standing.wait, at_ms)
        for _, standing in cursors(rows)
    )


def order(graph: Graph, path: str) -> int:
    """Where a path stands in graph order."""
    place = graph.place(path)
    return -1 if place is None else place.order
