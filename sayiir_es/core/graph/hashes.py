"""What names a workflow's shape: the definition hash, and the graph as canonical JSON.

The *definition hash* is Sayiir's, hex for hex: SHA-256 over a text of ids, time-outs,
retries and structure. It does not cover tags, priorities, `max_delay`, jitter or
`on_timeout`, nor the time-out of a run and the errors that a try catches. The *graph
digest* does: SHA-256 of the canonical JSON, in which every option and the workflow's
name and version stand, keys sorted. That JSON is what the definitions topic holds.
"""

from __future__ import annotations

import hashlib
import struct
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import TYPE_CHECKING, assert_never

from sayiir_es.core.graph.codec import canonical_json
from sayiir_es.core.graph.nodes import (
    ChildNode,
    DelayNode,
    ForkNode,
    LoopNode,
    Node,
    RouteNode,
    SignalNode,
    StartChildNode,
    TaskNode,
    TryNode,
)

if TYPE_CHECKING:
    from sayiir_es.core.graph.start_queue import StartQueue

FLOAT32_DIGITS_MAX = 9
"""So many decimal digits distinguish any two 32-bit floats."""


def definition_hash(chain: tuple[Node, ...]) -> str:
    """The definition hash of a chain: 64 hex digits."""
    return hashlib.sha256(_text(chain).encode()).hexdigest()


def graph_digest(
    name: str,
    metadata: str | None,
    chain: tuple[Node, ...],
    version: str | None,
    timeout_ms: int | None,
    start_queue: StartQueue | None,
) -> str:
    """The digest of a graph with every option: 64 hex digits."""
    data = canonical_json(name, metadata, chain, version, timeout_ms, start_queue)
    return hashlib.sha256(data).hexdigest()


def _text(chain: tuple[Node, ...]) -> str:
    # Node by node, and not the first before the rest: chains may be long.
    last = len(chain) - 1
    return "".join(_node(node, last=at == last) for at, node in enumerate(chain))


def _node(node: Node, *, last: bool) -> str:
    match node:
        case TaskNode():
            return f"{_task(node)};"
        case ForkNode():
            branches = "".join(f"{_text(branch.chain)}," for branch in node.branches)
            return f"F:{node.id}[{branches}]" + ("" if last else "J:")
        case DelayNode():
            return f"D:{node.id}:{node.duration_ms};"
        case SignalNode():
            timeout = "" if node.timeout_ms is None else f":t:{node.timeout_ms}"
            return f"S:{node.id}:{node.signal}{timeout};"
        case RouteNode():
            by_key = sorted(node.branches, key=lambda branch: branch.name)
            branches = "".join(f"{b.name}=>{_text(b.chain)}," for b in by_key)
            default = "" if node.default is None else f"_=>{_text(node.default)}"
            return f"B:{node.id}{{{branches}}}{default};"
        case LoopNode():
            body = _text(node.body)
            return f"L:{node.id}:{node.max_iterations}:{node.on_max}{{{body}}};"
        case ChildNode():
            return f"CW:{node.id}{{{_text(node.chain)}}};"
        case StartChildNode():
            wait = "w" if node.waits else "n"
            version = "" if node.version is None else f":v:{node.version}"
            return (
                f"SC:{node.id}:{node.workflow}{version}:{node.child_id}:{wait}:"
                f"{node.on_parent_end};"
            )
        case TryNode():
            return f"TRY:{node.id}{{{_text(node.body)}}}{{{_text(node.handler)}}};"
        case _:
            assert_never(node)


def _task(node: TaskNode) -> str:
    text = f"T:{node.id}"
    if node.timeout_ms is not None:
        text += f":t:{node.timeout_ms}"
    if node.retry is not None:
        multiplier = float32_text(node.retry.backoff_multiplier)
        text += (
            f":r:{node.retry.max_retries}:{node.retry.initial_delay_ms}:{multiplier}"
        )
    if node.version is not None:
        text += f":v:{node.version}"
    return text


def float32_text(value: float) -> str:
    """A number as Rust prints a 32-bit float: the shortest digits that read back.

    Rust rounds a tie away from zero, where Python's own formatting goes to the even
    digit.
    """
    try:
        packed = struct.pack("<f", value)
    except OverflowError:
        return "inf"
    (single,) = struct.unpack("<f", packed)
    exact = Decimal(single)
    candidates = (
        Context(prec=digits, rounding=ROUND_HALF_UP).create_decimal(exact)
        for digits in range(1, FLOAT32_DIGITS_MAX + 1)
    )
    exact_ones = (one for one in candidates if struct.pack("<f", one) == packed)
    return f"{next(exact_ones, exact):f}"
