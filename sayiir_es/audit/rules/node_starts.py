"""I11, and I12–I14 of what may open: nodes open in the order of the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.rules import compensations
from sayiir_es.audit.rules.catching import BODY
from sayiir_es.audit.rules.references import check_reference
from sayiir_es.audit.rules.run_model import OpenNode
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.nodes import (
    ChildNode,
    DelayNode,
    ForkNode,
    LoopNode,
    RouteNode,
    SignalNode,
    StartChildNode,
    TaskNode,
    TryNode,
)
from sayiir_es.core.graph.paths import is_compensation
from sayiir_es.core.model.events import (
    ChildStarted,
    DelayStarted,
    ForkStarted,
    LoopStarted,
    PositionUpdated,
    SignalAwaited,
    TryStarted,
)

if TYPE_CHECKING:
    from sayiir_es.audit.rules.run_model import RunModel
    from sayiir_es.core.graph.nodes import Node
    from sayiir_es.core.model.events import Event

_AROUND = {"ForkNode": "I13", "RouteNode": "I12", "LoopNode": "I14"}
"""The invariant of when a chain inside such a node may open."""


def check_position(model: RunModel, event: Event) -> None:
    """A task, a join or a route's key function becomes due."""
    body = event.body
    assert isinstance(body, PositionUpdated)
    if body.attempt != 1:
        raise BreachError(
            "I9", f"attempt 1 first at {body.path!r}", f"attempt {body.attempt}"
        )
    if is_compensation(body.path) and model.graph and model.graph.node(body.path):
        compensations.check_opened(model, event, body)
        return
    open_node = _open_node(model, event, body.path, body.input, (TaskNode, RouteNode))
    open_node.attempt, open_node.since = 1, event.at


def check_delay(model: RunModel, event: Event) -> None:
    """A delay parks until its time."""
    body = event.body
    assert isinstance(body, DelayStarted)
    open_node = _open_node(model, event, body.path, body.input, (DelayNode,))
    assert isinstance(open_node.node, DelayNode)
    due_at = event.at + open_node.node.duration_ms
    if body.due_at != due_at and not model.copying:
        raise BreachError("I10", f"due_at {due_at} of {body.path!r}", f"{body.due_at}")
    open_node.due_at = body.due_at


def check_wait(model: RunModel, event: Event) -> None:
    """A wait listens for its signal."""
    body = event.body
    assert isinstance(body, SignalAwaited)
    open_node = _open_node(model, event, body.path, body.input or None, (SignalNode,))
    node = open_node.node
    assert isinstance(node, SignalNode)
    if node.keep_input != bool(body.input):
        kept = "what flowed in, to keep it," if node.keep_input else "no input"
        raise BreachError("I15", f"{kept} at {body.path!r}", repr(body.input))
    if body.signal != node.signal:
        raise BreachError(
            "I15", f"{body.path!r} to wait for {node.signal!r}", f"{body.signal!r}"
        )
    until = None if node.timeout_ms is None else event.at + node.timeout_ms
    if body.until_at != until and not (model.copying and body.until_at and until):
        raise BreachError(
            "I10", f"until_at {until} of {body.path!r}", f"until_at {body.until_at}"
        )
    open_node.due_at = body.until_at
    model.waits.setdefault(node.signal, {})[body.path] = None


def check_fork(model: RunModel, event: Event) -> None:
    """A fork opens: each of its branches may."""
    body = event.body
    assert isinstance(body, ForkStarted)
    open_node = _open_node(model, event, body.path, body.input, (ForkNode,))
    assert model.graph is not None
    firsts = model.graph.firsts(body.path)
    if body.branches != tuple(firsts):
        raise BreachError(
            "I13", f"branches {list(firsts)} of {body.path!r}", f"{list(body.branches)}"
        )
    open_node.left = len(firsts)
    for name, first in firsts.items():
        model.may_open[f"{body.path}/{name}/{first}"] = body.input


def check_loop(model: RunModel, event: Event) -> None:
    """A loop opens: its first body may."""
    body = event.body
    assert isinstance(body, LoopStarted)
    _open_node(model, event, body.path, body.input, (LoopNode,))
    assert model.graph is not None
    first = model.graph.firsts(body.path)[""]
    model.may_open[f"{body.path}@0/{first}"] = body.input


def check_child(model: RunModel, event: Event) -> None:
    """A child opens: its chain may."""
    body = event.body
    assert isinstance(body, ChildStarted)
    _open_node(model, event, body.path, body.input, (ChildNode,))
    assert model.graph is not None
    first = model.graph.firsts(body.path)[""]
    model.may_open[f"{body.path}/{first}"] = body.input


def open_child(model: RunModel, event: Event, path: str, reference: str) -> OpenNode:
    """A start of a child opens, or one that is open asks for its child anew."""
    open_node = model.open_nodes.get(path)
    if open_node is None or path not in model.may_request:
        return _open_node(model, event, path, reference, (StartChildNode,))
    model.may_request.discard(path)
    check_reference(path, open_node.input, reference)
    return open_node


def check_try(model: RunModel, event: Event) -> None:
    """A try opens: its body may."""
    body = event.body
    assert isinstance(body, TryStarted)
    open_node = _open_node(model, event, body.path, body.input, (TryNode,))
    assert model.graph is not None
    open_node.branch = BODY
    first = model.graph.firsts(body.path)[BODY]
    model.may_open[f"{body.path}/{BODY}/{first}"] = body.input


def _open_node(
    model: RunModel,
    event: Event,
    path: str,
    reference: str | None,
    kinds: tuple[type[Node], ...],
) -> OpenNode:
    """Open a node, if the graph allows it now."""
    assert model.graph is not None
    node = model.graph.node(path)
    if node is None:
        raise BreachError("I11", "the path of a node", f"{event.kind} of {path!r}")
    if not isinstance(node, kinds):
        raise BreachError(
            "I11", f"an event of a {type(node).__name__} at {path!r}", event.kind
        )
    expected = model.may_open.pop(path, None)
    if expected is None:
        raise _not_now(model, event, path)
    if reference is not None:
        check_reference(path, expected, reference)
    open_node = OpenNode(path, node, reference or "null", event.sequence)
    model.open_nodes[path] = open_node
    return open_node


def _not_now(model: RunModel, event: Event, path: str) -> BreachError:
    """Why a path may not open; the nearest container decides the invariant."""
    graph = model.graph
    assert graph is not None
    expected = ", ".join(sorted(map(repr, model.may_open))[:5]) or "nothing"
    invariant = "I11"
    if graph.is_join(path):
        invariant = "I13"
    else:
        chain, _, segment = path.rpartition("/")
        around = graph.around(path)
        firsts: dict[str, str] = {}
        if around in _AROUND:
            base = chain.rpartition("@")[0] if around == "LoopNode" else ""
            owner = base or chain.rpartition("/")[0]
            if graph.node(owner) is not None:
                firsts = graph.firsts(owner)
        if segment in firsts.values() or around == "RouteNode":
            invariant = _AROUND[around]
    return BreachError(
        invariant, f"one of {expected} to open", f"{event.kind} of {path!r}"
    )
