"""What keeps an instance from going on with another graph, as a sentence each.

Every open container has a cursor of its own, so the surroundings of a cursor are those
of the cursors around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.evolve.migration import moves
from sayiir_es.core.graph.ahead import nodes_ahead
from sayiir_es.core.graph.graph import inner_chains
from sayiir_es.core.graph.nodes import ForkNode, SignalNode, TaskNode
from sayiir_es.core.graph.paths import compensation_path, join
from sayiir_es.core.graph.references import UNDO, has_needed, size_of
from sayiir_es.core.graph.same_place import kind_of
from sayiir_es.core.model.errors import HistoryError
from sayiir_es.core.model.rows import get_caught, get_cursors, get_header, get_text
from sayiir_es.core.model.undo_rows import get_undoable, paths_to_undo
from sayiir_es.core.model.waits import (
    Awaiting,
    Ended,
    Listening,
    Routing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sayiir_es.core.graph.graph import Graph, Place
    from sayiir_es.core.graph.path_mapping import PathMapping
    from sayiir_es.core.model.rows import Cursor, Rows


def wrong_mapping(
    graph: Graph, typed: Mapping[str, str], mapping: PathMapping
) -> str | None:
    """What is wrong with a mapping of the paths of a run's graph; None: nothing."""
    for path in sorted(typed):
        if path not in graph.places and _inner(graph, path) is None:
            return (
                f"expected paths of the graph of the run, without iterations, in the "
                f"mapping, but {path!r}"
            )
    if mapping.conflict is not None:
        path = mapping.conflict
        return (
            f"expected one place for {path!r} and what is around it, as deep as it is, "
            f"but {typed[path]!r}"
        )
    return None


def _inner(graph: Graph, chain: str) -> str | None:
    """The path of the fork or route of which a path is a branch; None if of none."""
    path, _, segment = chain.rpartition("/")
    place = graph.places.get(path)
    if place is None:
        return None
    names = [name for name, _ in inner_chains(place.node)]
    return path if segment and segment in names else None


def wrong_places(
    rows: Rows,
    graphs: tuple[Graph, Graph],
    mapping: PathMapping,
    running: frozenset[str],
) -> str | None:
    """Why a cursor finds no place in the second of two graphs; None: all do."""
    old, new = graphs
    cursors = sorted(
        (cursor for _, cursor in get_cursors(rows)),
        key=lambda cursor: old.order(cursor.path),
    )
    for cursor in cursors:
        path = mapping.path(cursor.path)
        before, there = old.place(cursor.path), new.place(path)
        wrong = _wrong_place(cursor, path, before, there)
        if wrong is None and before is not None and there is not None:
            wrong = (
                _wrong_inside(cursor, (before, there), mapping)
                or _wrong_join(cursor, (old, new), mapping)
                or _wrong_running(cursor, path, (before, there), running)
                or _wrong_limit(rows, cursor, (before, there))
            )
        if wrong is not None:
            return wrong
    return _wrong_meeting(rows, mapping)


def _wrong_meeting(rows: Rows, mapping: PathMapping) -> str | None:
    """Why two paths cannot be told apart any more; None: no two of them meet."""
    gone, come = moves(rows, mapping)
    met = [key for key in come if key not in gone and rows.get(key) is not None]
    if met or len(come) < len(gone):
        where = repr(met[0][1:]) if met else "one"
        return f"expected one path to lead to each place, but two lead to {where}"
    return None


def _wrong_place(
    cursor: Cursor, path: str, before: Place | None, there: Place | None
) -> str | None:
    expected, seen = kind_of(before), kind_of(there)
    if before is None or expected == seen:
        return None
    return (
        f"expected {expected} at {path!r} in the new graph, where {cursor.path!r} goes "
        f"on, but {seen}"
    )


def _wrong_inside(
    cursor: Cursor, places: tuple[Place, Place], mapping: PathMapping
) -> str | None:
    """What is otherwise in a container that is open, or of a wait."""
    _, there = places
    path, wait = mapping.path(cursor.path), cursor.wait
    wrong = _wrong_branches(path, places, mapping)
    if wrong is not None:
        return wrong
    if isinstance(wait, Routing):
        moved = mapping.path(join(cursor.path, wait.branch)).rpartition("/")[2]
        names = [name for name, _ in inner_chains(there.node)]
        if moved != wait.branch or moved not in names:
            return (
                f"expected the branch {wait.branch!r} of the route at {path!r} in the "
                f"new graph, but {names}"
            )
    signal = there.node.signal if isinstance(there.node, SignalNode) else None
    if isinstance(wait, Listening) and signal != wait.signal:
        return (
            f"expected a wait for the signal {wait.signal!r} at {path!r} in the new "
            f"graph, but for {signal!r}"
        )
    return None


def _wrong_branches(
    path: str, places: tuple[Place, Place], mapping: PathMapping
) -> str | None:
    """Which branches a fork has in the new graph, where these are others."""
    before, there = places
    if not isinstance(before.node, ForkNode):
        return None
    expected = {
        mapping.path(join(before.path, name)).rpartition("/")[2]
        for name, _ in inner_chains(before.node)
    }
    seen = {name for name, _ in inner_chains(there.node)}
    if expected == seen:
        return None
    return (
        f"expected the branches {sorted(expected)} of the fork at {path!r} in the new "
        f"graph, but {sorted(seen)}"
    )


def _wrong_join(
    cursor: Cursor, graphs: tuple[Graph, Graph], mapping: PathMapping
) -> str | None:
    """What a join joins in the new graph, where it is another fork."""
    old, new = graphs
    fork = old.joined_fork(cursor.path)
    path = mapping.path(cursor.path)
    if fork is None or new.joined_fork(path) == mapping.path(fork):
        return None
    return (
        f"expected the join at {path!r} to join {mapping.path(fork)!r} in the new "
        f"graph, but {new.joined_fork(path)!r}"
    )


def _wrong_running(
    cursor: Cursor, path: str, places: tuple[Place, Place], running: frozenset[str]
) -> str | None:
    """Why an attempt that runs cannot go on; one that has not begun begins anew."""
    if not isinstance(cursor.wait, Awaiting) or cursor.path not in running:
        return None
    if path != cursor.path:
        what = f"but one runs at {cursor.path!r}, which moves to {path!r}"
    else:
        before, after = (_waited_ms(place) for place in places)
        new = [name for name in before if before[name] is None and after[name]]
        if not new:
            return None
        what = f"but one runs at {path!r}, which has no {new[0]} and would have one"
    return f"expected no running attempt, {what}: pause it first"


def _waited_ms(place: Place) -> dict[str, int | None]:
    """How long an attempt there is waited for, and for each of its heartbeats."""
    node = place.node
    if not isinstance(node, TaskNode):
        return {"time-out": None, "heartbeat_timeout": None}
    return {
        "time-out": node.timeout_ms,
        "heartbeat_timeout": node.heartbeat_timeout_ms,
    }


def _wrong_limit(rows: Rows, cursor: Cursor, places: tuple[Place, Place]) -> str | None:
    """Why an attempt could get a permit of another limit than that of the new graph.

    It has one, or has asked for it. Behind a pause it asks anew.
    """
    header = get_header(rows)
    is_running = header is not None and header.phase == "running"
    if not is_running or not isinstance(cursor.wait, Awaiting):
        return None
    before, after = (
        place.node.concurrency.key
        if isinstance(place.node, TaskNode) and place.node.concurrency is not None
        else None
        for place in places
    )
    if before in (None, after) or after is None:
        return None
    return (
        f"expected the concurrency_key {before!r} at {places[1].path!r} in the new "
        f"graph, under which an attempt has or waits for a permit, but {after!r}: "
        "pause it first"
    )


# --- what can be undone ---------------------------------------------------------------


def wrong_undo(
    rows: Rows, graphs: tuple[Graph, Graph], mapping: PathMapping
) -> str | None:
    """Why a completed task could not be undone with the second of two graphs.

    Its order among the others is that of the forks around it, and its input may be what
    a fork joined: both must be as they were.
    """
    old, new = graphs
    for path in _paths_to_undo(rows):
        undo = compensation_path(mapping.path(path))
        seen = kind_of(new.place(undo))
        if seen != "a compensation":
            return (
                f"expected a compensation at {undo!r} in the new graph, to undo what "
                f"{path!r} did, but {seen}"
            )
        expected = [(mapping.path(one), kind) for one, kind in _around(old, path)]
        around = _around(new, mapping.path(path))
        if expected != around:
            return (
                f"expected the same around {undo!r} in the new graph, which is "
                f"{_listed(expected)}, but {_listed(around)}"
            )
        undoable = get_undoable(rows, path)
        for fork in _joined(rows, old, undoable[1] if undoable else ""):
            before, moved = old.place(fork), mapping.path(fork)
            there = new.place(moved)
            if before is None or there is None or kind_of(there) != kind_of(before):
                return (
                    f"expected a fork at {moved!r} in the new graph, whose results "
                    f"{path!r} was given, but {kind_of(there)}"
                )
            wrong = _wrong_branches(moved, (before, there), mapping)
            if wrong is not None:
                return wrong
    return None


def _paths_to_undo(rows: Rows) -> list[str]:
    """The completed tasks that are to be undone, or were not and may be after all."""
    return paths_to_undo(rows) + paths_to_undo(rows, "n")


def _around(graph: Graph, path: str) -> list[tuple[str, str]]:
    """The containers around a node, the innermost first, each with its kind."""
    around: list[tuple[str, str]] = []
    place = graph.place(path)
    while place is not None and place.container is not None:
        place = graph.places[place.container]
        around.append((place.path, kind_of(place)))
    return around


def _listed(around: list[tuple[str, str]]) -> str:
    return ", ".join(f"{kind} {path!r}" for path, kind in around) or "nothing"


def _joined(rows: Rows, graph: Graph, reference: str) -> Iterator[str]:
    """The forks whose results are in what a reference names."""
    what, _, path = reference.partition(":")
    chains: list[str] = []
    if what == "routed":
        chains = [path]
    elif what == "caught":
        caught = get_caught(rows, path)
        yield from _joined(rows, graph, caught.input if caught else "")
    elif what == "joined":
        yield path
        place = graph.place(path)
        if place is not None:
            chains = [join(path, name) for name, _ in inner_chains(place.node)]
    for chain in chains:
        yield from _joined(rows, graph, get_text(rows, "x" + chain) or "")


# --- behind the event -----------------------------------------------------------------


def wrong_values(rows: Rows, graph: Graph) -> str | None:
    """What a run with these rows, moved already, still needs and has not."""
    for _, cursor in get_cursors(rows):
        references = [cursor.input]
        if isinstance(cursor.wait, Ended):
            references.append(cursor.wait.result)
        for reference in references:
            try:
                size_of(rows, graph, reference)
            except HistoryError as error:
                return f"{error}, for {cursor.path!r}"
    ahead = nodes_ahead(rows, graph)
    for path, concrete in ahead.items():
        node = graph.places[path].node
        for need in node.needs if isinstance(node, TaskNode) else ():
            is_to_come = not need.path or need.path in ahead
            if not is_to_come and not has_needed(rows, graph, concrete, need):
                return (
                    f"expected a value of {need.path!r}, which {path!r} needs by name, "
                    "but this run has none and passes it no more"
                )
    return _wrong_undo_values(rows, graph)


def _wrong_undo_values(rows: Rows, graph: Graph) -> str | None:
    """What a compensation is given by a run with these rows, and would not be."""
    for path in _paths_to_undo(rows):
        try:
            size_of(rows, graph, UNDO + path)
        except HistoryError as error:
            return f"{error}, for {compensation_path(path)!r}"
    return None
