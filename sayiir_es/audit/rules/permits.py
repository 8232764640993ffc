"""I24 at who holds a permit: an attempt that needs one ends well only if it had one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.model.permit_events import (
    PermitReleased,
    PermitTaken,
    permit_name,
)

if TYPE_CHECKING:
    from sayiir_es.audit.rules.run_model import OpenNode, RunModel
    from sayiir_es.core.model.events import Event


def check_taken(model: RunModel, event: Event) -> None:
    """A permit was granted: the attempt that asked has it, if it still waits."""
    body = event.body
    assert isinstance(body, PermitTaken)
    if body.holder != model.instance_id:
        _check_copy(model, event)
        return
    name = _take(model.permits, body)
    open_node = model.open_nodes.get(body.path)
    if (
        open_node is not None
        and open_node.attempt
        and not (open_node.permit or open_node.broken)
        and not (model.paused or model.quarantined)
        and body.ask == _asked_at(model, open_node)
    ):
        open_node.permit = name


def _asked_at(model: RunModel, open_node: OpenNode) -> int:
    """What names the ask of an attempt: the latest of what makes it ask."""
    due = max(open_node.sequence, open_node.withdrawn_by)
    return max(due, model.unpaused, model.migrated)


def check_released(model: RunModel, event: Event) -> None:
    """A permit is on its way back: no attempt may have it."""
    body = event.body
    assert isinstance(body, PermitReleased)
    if body.holder != model.instance_id:
        _check_copy(model, event)
        return
    name, path = _release(model.permits, body)
    open_node = model.open_nodes.get(path)
    if open_node is not None and open_node.permit == name and not model.quarantined:
        raise BreachError(
            "I24", f"permit {name!r} kept while {path!r} is awaited", "it is returned"
        )


def check_ended(permits: dict[str, dict[str, str]], event: Event) -> None:
    """Behind the end of a run: what it has goes back, and what comes late, too."""
    body, instance_id = event.body, event.instance_id
    assert isinstance(body, PermitTaken | PermitReleased)
    if body.holder != instance_id:
        raise _of_another(event)
    held = permits.setdefault(instance_id, {})
    try:
        if isinstance(body, PermitTaken):
            _take(held, body)
        else:
            _release(held, body)
    finally:
        if not held:
            del permits[instance_id]


def _take(held: dict[str, str], body: PermitTaken) -> str:
    """The name of a permit that an instance has from now on, until it is released."""
    name = permit_name(body.key, body.permit)
    if name in held:
        raise BreachError("I24", f"permit {name!r} taken once", "a second time")
    held[name] = body.path
    return name


def _release(held: dict[str, str], body: PermitReleased) -> tuple[str, str]:
    """The name of a permit that an instance has no more, and who had it."""
    name = permit_name(body.key, body.permit)
    path = held.pop(name, None)
    if path is None:
        raise BreachError("I24", f"permit {name!r} to be taken before", "it was not")
    return name, path


def take_away(model: RunModel) -> None:
    """A pause takes away what permits attempts have, and they ask anew."""
    for open_node in model.open_nodes.values():
        open_node.permit = ""


def check_had_permit(model: RunModel, open_node: OpenNode) -> None:
    """An attempt has ended well: if it needs a permit, it had one."""
    node = open_node.node
    if (
        isinstance(node, TaskNode)
        and node.concurrency is not None
        and not open_node.permit
        and not model.copying
    ):
        raise BreachError(
            "I24", f"PermitTaken for {open_node.path!r} before", "it has none"
        )


def _check_copy(model: RunModel, event: Event) -> None:
    if not model.copying:
        raise _of_another(event)


def _of_another(event: Event) -> BreachError:
    return BreachError(
        "I24", f"{event.kind} of {event.instance_id!r}", "one of another instance"
    )
