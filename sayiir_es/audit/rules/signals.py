"""I15: a signal is received once and consumed once, the oldest by the oldest wait."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.nodes import SignalNode
from sayiir_es.core.model.events import SignalConsumed, SignalReceived

if TYPE_CHECKING:
    from sayiir_es.audit.rules.run_model import RunModel
    from sayiir_es.core.model.events import Event


def check_received(model: RunModel, event: Event) -> None:
    """A signal is buffered under the event's sequence."""
    body = event.body
    assert isinstance(body, SignalReceived)
    if body.signal_id is not None:
        if body.signal_id in model.signal_ids:
            raise BreachError(
                "I15", f"signal id {body.signal_id!r} once", "received again"
            )
        model.signal_ids.append(body.signal_id)
    model.buffered.setdefault(body.signal, deque()).append(event.sequence)
    model.values[f"signal:{event.sequence}"] = body.payload


def check_consumed(model: RunModel, event: Event) -> None:
    """A wait takes a signal."""
    body = event.body
    assert isinstance(body, SignalConsumed)
    open_node = model.open_nodes.get(body.path)
    node = None if open_node is None else open_node.node
    if open_node is None or not isinstance(node, SignalNode):
        raise BreachError("I15", f"a wait at {body.path!r}", "none for SignalConsumed")
    waiting = model.buffered.get(node.signal)
    oldest = waiting[0] if waiting else None
    if oldest != body.signal_sequence:
        raise BreachError(
            "I15",
            f"the oldest buffered signal {node.signal!r}: {oldest or 'there is none'}",
            f"{body.path!r} consumed {body.signal_sequence}",
        )
    first = next(iter(model.waits[node.signal]))
    if first != body.path:
        raise BreachError(
            "I15", f"the oldest wait, {first!r}, to consume", f"{body.path!r} did"
        )
    assert waiting is not None
    waiting.popleft()
    if not waiting:
        del model.buffered[node.signal]
    reference = f"signal:{body.signal_sequence}"
    if "@" in body.path:  # it leaves with its iteration
        model.keep(reference, model.values[reference], body.path)
    model.end_wait(node.signal, body.path)
    model.end_node(body.path, open_node.input if node.keep_input else reference)
