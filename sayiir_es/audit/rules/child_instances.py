"""I25: a child is asked for as the graph says, started once, and reported once.

Theory of operation. What an instance owes to others outlives its runs: so it is kept by
the instance, and only as long as something is owed. A child is open from its request to
the record of its end; a cancel of it comes behind the end of the run that asked for it.
A run that was started for a parent is reported once, behind its end.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.audit.rules.catching import required_behind
from sayiir_es.audit.rules.node_starts import open_child
from sayiir_es.audit.rules.references import check_bytes
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.child_ids import child_id_of
from sayiir_es.core.graph.nodes import StartChildNode
from sayiir_es.core.model.child_events import (
    ChildCancelSent,
    ChildEndReported,
    ChildInstanceEnded,
    ChildInstanceRequested,
    ChildInstanceSent,
    ChildStartRefused,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.audit.rules.run_model import RunModel
    from sayiir_es.core.graph.path_mapping import PathMapping
    from sayiir_es.core.model.events import Body, Event, WorkflowStarted

KINDS: frozenset[type[Body]] = frozenset(
    {
        ChildInstanceSent,
        ChildInstanceEnded,
        ChildCancelSent,
        ChildStartRefused,
        ChildEndReported,
    }
)
"""What may stand behind the end of a run, too."""

SECRET_CHARACTERS = 32


@dataclass(slots=True, kw_only=True)
class _Child:
    path: str
    run: int
    waits: bool
    on_parent_end: str
    is_sent: bool = False
    is_told: bool = False


class Family:
    """What one instance owes to its children and its parent."""

    def __init__(self) -> None:
        self.children: dict[str, _Child] = {}
        self.parent: tuple[str, str] | None = None
        """Who is to be told of the end of the run at hand: instance and path."""
        self.reports: set[tuple[str, str, int]] = set()
        """Whom of what run is still to be told."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is owed."""
        return not (self.children or self.parent or self.reports)

    def start(self, body: WorkflowStarted, *, copying: bool) -> None:
        """A run begins, for a parent or for nobody."""
        is_child = body.parent is not None and body.parent_secret and not copying
        self.parent = (body.parent or "", body.parent_path) if is_child else None

    def end(self, run: int) -> None:
        """A run ends: its parent is to be told."""
        if self.parent is not None:
            self.reports.add((*self.parent, run))
            self.parent = None

    def move(self, mapping: PathMapping) -> None:
        """The run goes on with another graph."""
        for child in self.children.values():
            child.path = mapping.path(child.path)


# --- of the parent --------------------------------------------------------------------


def check_requested(family: Family, model: RunModel, event: Event) -> None:
    """A node asks for its child, with what flowed in."""
    body = event.body
    assert isinstance(body, ChildInstanceRequested)
    open_node = open_child(model, event, body.path, body.input)
    node = open_node.node
    assert isinstance(node, StartChildNode)
    seen = (body.workflow, body.version, body.waits, body.on_parent_end)
    expected = (node.workflow, node.version, node.waits, node.on_parent_end)
    if seen != expected:
        raise _breach(f"{expected}, as the graph says of {body.path!r}", f"{seen}")
    if body.value is not None:
        check_bytes(model, body.input, body.value, f"the input of {body.path!r}")
    if not body.child_id:
        model.may_request.add(body.path)
        model.may_fail[body.path] = None
        model.required = required_behind(model, "I25", body.path, "bad_child_id")
        return
    if not model.copying:
        _check_names(model, body, node)
        family.children[body.child_id] = _Child(
            path=body.path,
            run=event.run,
            waits=body.waits,
            on_parent_end=body.on_parent_end,
        )
    if not body.waits:
        reference = f"result:{body.path}"
        data = json.dumps(body.child_id, ensure_ascii=False).encode()
        model.keep(reference, data, body.path)
        model.end_node(body.path, reference)
    elif model.copying:
        model.may_request.add(body.path)
    else:
        open_node.child_id = body.child_id


def _check_names(
    model: RunModel, body: ChildInstanceRequested, node: StartChildNode
) -> None:
    child_id = child_id_of(node.child_id, model.instance_id, body.path)
    if body.child_id != child_id:
        raise _breach(f"the child {child_id!r} of {body.path!r}", repr(body.child_id))
    if len(body.secret) != SECRET_CHARACTERS:
        raise _breach(f"a secret of {SECRET_CHARACTERS} digits", repr(body.secret))


def check_sent(family: Family, event: Event, _ended_run: int) -> None:
    """The start of a child is in the log, once."""
    body = event.body
    assert isinstance(body, ChildInstanceSent)
    child = family.children.get(body.child_id)
    if child is None or child.is_sent or child.path != body.path:
        raise _breach(f"a child {body.child_id!r} that was asked for", event.kind)
    child.is_sent = True
    if not child.waits and child.on_parent_end == "leave":
        del family.children[body.child_id]


def check_cancel_sent(family: Family, event: Event, ended_run: int) -> None:
    """A cancel of a child is in the log, once, behind the end of its parent's run."""
    body = event.body
    assert isinstance(body, ChildCancelSent)
    child = family.children.get(body.child_id)
    if (
        child is None
        or not child.is_sent
        or child.is_told
        or child.on_parent_end != "cancel"
        or child.run > ended_run
    ):
        raise _breach(
            f"a child {body.child_id!r} to cancel behind the end of run {ended_run}",
            event.kind,
        )
    child.is_told = True


def check_ended(family: Family, event: Event, _ended_run: int) -> None:
    """An open child has ended."""
    body = event.body
    assert isinstance(body, ChildInstanceEnded)
    child = family.children.pop(body.child_id, None)
    if child is None or child.path != body.path:
        raise _breach(f"an open child {body.child_id!r}", event.kind)


def take_end(model: RunModel, event: Event, *, has_ended: bool) -> None:
    """What the end of a child does in the run of its parent; `has_ended`: if ever."""
    body = event.body
    assert isinstance(body, ChildInstanceEnded)
    open_node = model.open_nodes.get(body.path)
    if open_node is None or not isinstance(open_node.node, StartChildNode):
        return
    is_awaited = open_node.child_id == body.child_id
    if not is_awaited and not (model.copying and body.path in model.may_request):
        return
    open_node.child_id = ""
    model.may_request.discard(body.path)
    if body.end == "completed":
        reference = f"result:{body.path}"
        model.keep(reference, body.output or b"null", body.path)
        model.end_node(body.path, reference)
        return
    if has_ended:
        model.may_request.add(body.path)
        return
    open_node.broken = True
    error_type = body.error_type or body.end
    error = body.error or f"child {body.child_id!r} was {body.end}"
    if model.is_stopping:
        return
    model.may_fail[body.path] = (error_type, error)
    model.bases[body.path] = body.error_bases
    if not model.quarantined:
        model.required = required_behind(
            model, "I25", body.path, error_type, body.error_bases
        )


# --- of the child ---------------------------------------------------------------------


def check_refused(family: Family, event: Event, _ended_run: int) -> None:
    """A start was rejected: its parent is to be told."""
    body = event.body
    assert isinstance(body, ChildStartRefused)
    family.reports.add((body.parent, body.parent_path, 0))


def check_reported(family: Family, event: Event, _ended_run: int) -> None:
    """The parent is told, once."""
    body = event.body
    assert isinstance(body, ChildEndReported)
    report = (body.parent, body.parent_path, body.child_run)
    if report not in family.reports:
        what = "a refused start" if not body.child_run else f"the end of {report[2]}"
        raise _breach(f"{what} that {body.parent!r} is to be told", event.kind)
    family.reports.discard(report)


RULES: dict[type[Body], Callable[[Family, Event, int], None]] = {
    ChildInstanceSent: check_sent,
    ChildInstanceEnded: check_ended,
    ChildCancelSent: check_cancel_sent,
    ChildStartRefused: check_refused,
    ChildEndReported: check_reported,
}


def _breach(expected: str, seen: str) -> BreachError:
    return BreachError("I25", expected, seen)
