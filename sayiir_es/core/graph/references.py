"""Values are stored once; an input is a reference, and this resolves it to bytes.

`start` (the run's input) · `result:PATH` · `signal:SEQUENCE` · `retried:SEQUENCE` (what
a retry gave in place of an input) · `null` · `value:LOOP@K`
· `joined:FORK` (`{"name": result, …}` in declared order) · `routed:ROUTE`
(`{"branch": key, "result": …}`) · `caught:TRY` (`{"error": {…}, "input": …}`) ·
`undo:PATH` (`{"input": …, "result": …}` of a completed task that is to be undone). The
bytes are the user's codec's; they are passed on and spliced, never decoded.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sayiir_es.core.graph.graph import inner_chains
from sayiir_es.core.graph.nodes import (
    ForkNode,
    LoopNode,
    RouteNode,
    SignalNode,
    TryNode,
)
from sayiir_es.core.graph.paths import decode_segment, join
from sayiir_es.core.model.errors import HistoryError
from sayiir_es.core.model.rows import (
    TIMED_OUT,
    chain_of,
    get_caught,
    get_cursor,
    get_text,
    get_value,
)
from sayiir_es.core.model.undo_rows import get_undoable
from sayiir_es.core.model.waits import Looping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.graph.nodes import Need
    from sayiir_es.core.model.rows import Caught, Rows

NULL = b"null"
JOINED, ROUTED = "joined:", "routed:"
CAUGHT, UNDO = "caught:", "undo:"
_COMPOSED = (JOINED, ROUTED, CAUGHT, UNDO)
"""What begins references that lead to others; mostly none does."""


def resolve(rows: Rows, graph: Graph, reference: str) -> bytes:
    """The bytes that a reference names.

    Raises:
        HistoryError: if no event recorded that value.
    """
    if not reference.startswith(_COMPOSED):
        return NULL if reference == "null" else _recorded_bytes(rows, reference)
    if reference.startswith(JOINED):
        return _joined(rows, graph, reference[len(JOINED) :])
    if reference.startswith(ROUTED):
        return _routed(rows, graph, reference[len(ROUTED) :])
    if reference.startswith(UNDO):
        path = reference[len(UNDO) :]
        data = resolve(rows, graph, _input_of_undo(rows, path))
        result = resolve(rows, graph, f"result:{path}")
        return b'{"input":' + data + b',"result":' + result + b"}"
    return _caught_bytes(rows, graph, reference[len(CAUGHT) :])


def _recorded_bytes(rows: Rows, reference: str) -> bytes:
    value = get_value(rows, reference)
    if value is None:
        raise HistoryError(
            f"expected a recorded value under {reference!r}, but there is none"
        )
    return value


def size_of(rows: Rows, graph: Graph, reference: str) -> int:
    """How many bytes a reference names, about: without the names around the results.

    Raises:
        HistoryError: if no event recorded that value.
    """
    if not reference.startswith(_COMPOSED):
        return len(resolve(rows, graph, reference))
    if reference.startswith(JOINED):
        path = reference[len(JOINED) :]
        return sum(
            size_of(rows, graph, _recorded(rows, join(path, segment)))
            for segment in _branches(graph, path)
        )
    if reference.startswith(ROUTED):
        result = get_text(rows, "x" + reference[len(ROUTED) :])
        return 0 if result is None else size_of(rows, graph, result)
    if reference.startswith(UNDO):
        path = reference[len(UNDO) :]
        size = size_of(rows, graph, _input_of_undo(rows, path))
        return size + size_of(rows, graph, f"result:{path}")
    return size_of(rows, graph, _caught(rows, reference[len(CAUGHT) :]).input)


def result_of(rows: Rows, graph: Graph, path: str) -> bytes | None:
    """What a node gave to the next one, where that is recorded; None if nothing (yet).

    Delays, children and forks record nothing of their own.
    """
    place = graph.place(path)
    match place.node if place is not None else None:
        case SignalNode():
            sequence = rows.get("q" + path)
            if sequence == TIMED_OUT:
                return NULL
            return None if sequence is None else get_value(rows, f"signal:{sequence!r}")
        case RouteNode():
            chosen = get_text(rows, "x" + path)
            return None if chosen is None else _routed(rows, graph, path)
        case TryNode():
            result = get_text(rows, "x" + path)
            return None if result is None else resolve(rows, graph, result)
        case LoopNode():
            cursor = get_cursor(rows, chain_of(path))
            runs = cursor is not None and isinstance(cursor.wait, Looping)
            if runs and cursor is not None and cursor.path == path:
                return None
            return _last_value(rows, path)
        case _:
            return get_value(rows, f"result:{path}")


def _last_value(rows: Rows, path: str) -> bytes | None:
    """What a loop carried out of its last iteration.

    Those of iterations before are there, too, where something in them may be undone.
    """
    prefix = f"vvalue:{path}@"
    numbers = [key[len(prefix) :] for key in rows.keys(prefix)]
    last = max((int(number) for number in numbers if number.isdecimal()), default=-1)
    return get_value(rows, f"value:{path}@{last}")


def needed(rows: Rows, graph: Graph, path: str, need: Need) -> bytes:
    """The bytes of a value that the task at `path` needs by name.

    Raises:
        HistoryError: if no event recorded it.
    """
    if not need.path:
        return resolve(rows, graph, "start")
    data = result_of(rows, graph, in_same_iterations(path, need.path))
    if data is None:
        raise HistoryError(
            f"expected a result of {need.path!r} for {path!r}, but there is none"
        )
    return data


def has_needed(rows: Rows, graph: Graph, path: str, need: Need) -> bool:
    """Whether the value that the task at `path` needs by name was recorded."""
    try:
        needed(rows, graph, path, need)
    except HistoryError:
        return False
    return True


def in_same_iterations(path: str, template: str) -> str:
    """The path of another node, in the iterations of the loops around both."""
    segments = template.split("/")
    for place, (own, wanted) in enumerate(zip(path.split("/"), segments, strict=False)):
        loop, mark, iteration = own.rpartition("@")
        if own == wanted:
            continue
        if not (loop == wanted and mark and iteration.isdecimal()):
            break
        segments[place] = own
    return "/".join(segments)


def mark_of(rows: Rows, reference: str) -> str:
    """What a loop's body said with a value: `again`, `done`, or `none`."""
    return get_text(rows, "l" + reference) or "none"


def _joined(rows: Rows, graph: Graph, path: str) -> bytes:
    parts: list[bytes] = []
    for segment in _branches(graph, path):
        name, mark, number = segment.rpartition("#")
        key = decode_segment(name if mark else segment) + mark + number * bool(mark)
        result = _recorded(rows, join(path, segment))
        parts.append(_quoted(key) + b":" + resolve(rows, graph, result))
    return b"{" + b",".join(parts) + b"}"


def _branches(graph: Graph, path: str) -> Iterator[str]:
    place = graph.place(path)
    if place is None or not isinstance(place.node, ForkNode):
        raise HistoryError(f"expected a fork at {path!r}, but there is none")
    return (segment for segment, _ in inner_chains(place.node))


def _routed(rows: Rows, graph: Graph, path: str) -> bytes:
    key = get_text(rows, "y" + path)
    result = get_text(rows, "x" + path)
    if key is None or result is None:
        raise HistoryError(f"expected a chosen branch of {path!r}, but there is none")
    data = resolve(rows, graph, result)
    return b'{"branch":' + _quoted(key) + b',"result":' + data + b"}"


def _input_of_undo(rows: Rows, path: str) -> str:
    undoable = get_undoable(rows, path)
    if undoable is None:
        raise HistoryError(
            f"expected a task to undo at {path!r}, but none was completed there"
        )
    return undoable[1]


def _caught_bytes(rows: Rows, graph: Graph, path: str) -> bytes:
    caught = _caught(rows, path)
    place = graph.place(caught.path)
    error = {
        "type": caught.error_type,
        "message": _without_type(caught.error, caught.error_type),
        "task": caught.path if place is None else place.node.id,
        "path": caught.path,
    }
    text = json.dumps(error, ensure_ascii=False, separators=(",", ":")).encode()
    data = resolve(rows, graph, caught.input)
    return b'{"error":' + text + b',"input":' + data + b"}"


def _without_type(error: str, error_type: str) -> str:
    """The text of an error without the type that it begins with, as Python shows it."""
    return "" if error == error_type else error.removeprefix(f"{error_type}: ")


def _caught(rows: Rows, path: str) -> Caught:
    caught = get_caught(rows, path)
    if caught is None:
        raise HistoryError(f"expected an error that {path!r} caught, but there is none")
    return caught


def _recorded(rows: Rows, chain: str) -> str:
    result = get_text(rows, "x" + chain)
    if result is None:
        raise HistoryError(
            f"expected the result of branch {chain!r}, but there is none"
        )
    return result


def _quoted(key: str) -> bytes:
    return json.dumps(key, ensure_ascii=False).encode()
