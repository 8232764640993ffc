"""I22: what completed tasks did is undone in reverse, each once, before a run ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.rules.references import check_reference
from sayiir_es.audit.rules.requests import (
    check_interrupted,
    check_nothing_runs,
    paths_in_bounds,
)
from sayiir_es.audit.rules.run_model import OpenNode, RequiredEvent
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.graph.paths import COMPENSATION
from sayiir_es.core.model.compensation_events import (
    CompensationEnded,
    CompensationStarted,
)

if TYPE_CHECKING:
    from sayiir_es.audit.rules.run_model import RunModel
    from sayiir_es.core.model.events import (
        Event,
        PositionUpdated,
        TaskCompleted,
        WorkflowCancelled,
        WorkflowFailed,
    )

BELOW = "/" + COMPENSATION


def check_compensable(open_node: OpenNode, body: TaskCompleted) -> None:
    """Check that a task says of itself whether it can be undone."""
    node = open_node.node
    expected = isinstance(node, TaskNode) and node.compensate is not None
    if body.compensable != expected:
        raise BreachError(
            "I22", f"`compensable` {expected} of {body.path!r}", f"{body.compensable}"
        )


def check_opened(model: RunModel, event: Event, body: PositionUpdated) -> None:
    """A compensation is due: of a completed task, and none stands in its way."""
    path, undo = body.path.removesuffix(BELOW), model.undo
    if not undo.reason:
        raise BreachError("I22", "CompensationStarted before", f"{body.path!r} opens")
    if path not in undo.to_undo or path in undo.open:
        raise BreachError(
            "I22", f"a completed task at {path!r} to undo once", f"{body.path!r} opens"
        )
    before = undo.in_the_way(path)
    if before is not None:
        raise BreachError(
            "I22", f"{before!r} to be undone before {path!r}", f"{body.path!r} opens"
        )
    check_reference(body.path, f"undo:{path}", body.input)
    assert model.graph is not None
    node = model.graph.node(body.path)
    assert node is not None
    open_node = OpenNode(body.path, node, body.input, event.sequence)
    open_node.attempt, open_node.since = 1, event.at
    model.open_nodes[body.path] = open_node
    undo.open.add(path)


def take_outcome(model: RunModel, path: str, *, undone: bool) -> None:
    """The last attempt of a compensation ended; what became of it is recorded next."""
    del model.open_nodes[path]
    task = path.removesuffix(BELOW)
    model.undo.may_end[task] = undone
    if not undone:
        model.required = RequiredEvent("I22", "CompensationEnded", task)


def check_started(model: RunModel, event: Event) -> None:
    """Nothing runs any more, and there is something to undo."""
    body = event.body
    assert isinstance(body, CompensationStarted)
    undo, expected = model.undo, "failed" if model.cancel is None else "cancelled"
    if not model.is_stopping:
        raise BreachError(
            "I22", "CompensationRequested or CancelRequested before", event.kind
        )
    if body.reason != expected:
        raise BreachError("I22", f"the reason {expected}", body.reason)
    if not undo.to_undo:
        raise BreachError("I22", "a completed task to undo", event.kind)
    check_nothing_runs(model, event, "I22")
    check_interrupted(model, body.interrupted_at)
    model.forget_cursors()
    undo.reason, undo.interrupted_at = expected, body.interrupted_at
    model.pause, model.paused, model.queued = None, False, False


def check_ended(model: RunModel, event: Event) -> None:
    """A task is undone, or could not be, as the outcome of its compensation says."""
    body = event.body
    assert isinstance(body, CompensationEnded)
    expected = model.undo.may_end.pop(body.path, None)
    if expected is None:
        raise BreachError(
            "I22", f"an outcome of the compensation of {body.path!r} before", "none"
        )
    if expected != body.undone:
        raise BreachError(
            "I22", f"`undone` {expected} of {body.path!r}", f"{body.undone}"
        )
    model.undo.end(body.path, undone=body.undone)


def check_goes_on(model: RunModel, event: Event) -> None:
    """Check, where a decision begins, that all that is to be undone goes on."""
    undo = model.undo
    if undo.may_end:
        path = next(iter(undo.may_end))
        raise BreachError("I22", f"CompensationEnded of {path!r} first", event.kind)
    if undo.to_undo and not undo.open:
        path = next(reversed(undo.to_undo))
        raise BreachError("I22", f"the compensation of {path!r} to open", event.kind)
    if not undo.to_undo:
        end = "WorkflowFailed" if undo.reason == "failed" else "WorkflowCancelled"
        raise BreachError("I22", f"{end} first, as all is undone", event.kind)


def check_lists(model: RunModel, body: WorkflowFailed | WorkflowCancelled) -> None:
    """Check that a run ends with all undone, and names what was, and what not."""
    undo = model.undo
    not_undone = undo.listed(undone=False)
    if undo.to_undo:
        if not model.quarantined:
            raise BreachError(
                "I22", f"{undo.left()[0]!r} to be undone first", type(body).__name__
            )
        not_undone += undo.left()  # given up where it stood
    for name, paths, seen in (
        ("compensated", undo.listed(undone=True), body.compensated),
        ("not_compensated", not_undone, body.not_compensated),
    ):
        expected = paths_in_bounds(paths)
        if list(seen) != expected:
            raise BreachError("I22", f"{name} {expected}", f"{list(seen)}")
