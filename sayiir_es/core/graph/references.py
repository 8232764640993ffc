"""Values are stored once; an input is a reference, and this resolves it to bytes.

`start` (the run's input) · `result:PATH` · `signal:SEQUENCE` · `null` · `value:LOOP@K`
· `joined:FORK` (`{"name": result, …}` in declared order) · `routed:ROUTE`
(`{"branch": key, "result": …}`). The bytes are the user's codec's; they are passed on
and spliced, never decoded.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sayiir_es.core.graph.graph import inner_chains
from sayiir_es.core.graph.nodes import ForkNode, LoopNode, RouteNode, SignalNode
from sayiir_es.core.graph.paths import decode_segment, join
from sayiir_es.core.model.errors import HistoryError
from sayiir_es.core.model.rows import chain_of, get_cursor, get_text, get_value
from sayiir_es.core.model.waits import Looping

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.rows import Rows

NULL = b"null"
JOINED, ROUTED = "joined:", "routed:"


def resolve(rows: Rows, graph: Graph, reference: str) -> bytes:
    """The bytes that a reference names.

    Raises:
        HistoryError: if no event recorded that value.
    """
    if reference == "null":
        return NULL
    if reference.startswith(JOINED):
        return _joined(rows, graph, reference[len(JOINED) :])
    if reference.startswith(ROUTED):
        return _routed(rows, graph, reference[len(ROUTED) :])
    value = get_value(rows, reference)
    if value is None:
        raise HistoryError(
            f"expected a recorded value under {reference!r}, but there is none"
        )
    return value


def result_of(rows: Rows, graph: Graph, path: str) -> bytes | None:
    """What a node gave to the next one, where that is recorded; None if nothing (yet).

    Delays, children and forks record nothing of their own.
    """
    place = graph.place(path)
    match place.node if place is not None else None:
        case SignalNode():
            sequence = rows.get("q" + path)
            return None if sequence is None else get_value(rows, f"signal:{sequence!r}")
        case RouteNode():
            chosen = get_text(rows, "x" + path)
            return None if chosen is None else _routed(rows, graph, path)
        case LoopNode():
            cursor = get_cursor(rows, chain_of(path))
            runs = cursor is not None and isinstance(cursor.wait, Looping)
            if runs and cursor is not None and cursor.path == path:
                return None
            carried = [key[1:] for key in rows.keys(f"vvalue:{path}@")]
            return get_value(rows, carried[-1]) if carried else None
        case _:
            return get_value(rows, f"result:{path}")


def mark_of(rows: Rows, reference: str) -> str:
    """What a loop's body said with a value: `again`, `done`, or `none`."""
    return get_text(rows, "l" + reference) or "none"


def _joined(rows: Rows, graph: Graph, path: str) -> bytes:
    place = graph.place(path)
    if place is None or not isinstance(place.node, ForkNode):
        raise HistoryError(f"expected a fork at {path!r}, but there is none")
    parts: list[bytes] = []
    for segment, _ in inner_chains(place.node):
        name, mark, number = segment.rpartition("#")
        key = decode_segment(name if mark else segment) + mark + number * bool(mark)
        result = _recorded(rows, join(path, segment))
        parts.append(_quoted(key) + b":" + resolve(rows, graph, result))
    return b"{" + b",".join(parts) + b"}"


def _routed(rows: Rows, graph: Graph, path: str) -> bytes:
    key = get_text(rows, "y" + path)
    result = get_text(rows, "x" + path)
    if key is None or result is None:
        raise HistoryError(f"expected a chosen branch of {path!r}, but there is none")
    data = resolve(rows, graph, result)
    return b'{"branch":' + _quoted(key) + b',"result":' + data + b"}"


def _recorded(rows: Rows, chain: str) -> str:
    result = get_text(rows, "x" + chain)
    if result is None:
        raise HistoryError(
            f"expected the result of branch {chain!r}, but there is none"
        )
    return result


def _quoted(key: str) -> bytes:
    return json.dumps(key, ensure_ascii=False).encode()
