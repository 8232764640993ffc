"""I7, I11, I18 and I19 of whole runs: how they begin and how they end, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sayiir_es.audit.rules.references import check_bytes
from sayiir_es.audit.rules.run_model import RequiredEvent
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.nodes import LoopNode, SignalNode
from sayiir_es.core.model.events import (
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
)

if TYPE_CHECKING:
    from sayiir_es.audit.rules.graph_model import GraphModel
    from sayiir_es.audit.rules.run_model import RunModel
    from sayiir_es.core.model.events import Event


class GraphModels(Protocol):
    """The definitions that were published."""

    def get(self, digest: str, /) -> GraphModel | None:
        """The one with that graph digest, or None."""
        ...


def check_started(model: RunModel, event: Event, graphs: GraphModels) -> None:
    """A run begins, one above the one before; its definition was published."""
    body = event.body
    assert isinstance(body, WorkflowStarted)
    if model.graph is not None:
        if event.run == model.run and (
            model.graph.definition_hash != body.definition_hash
        ):
            raise BreachError(
                "I18",
                f"one definition, {model.graph.definition_hash[:16]}…, a run",
                f"another WorkflowStarted with {body.definition_hash[:16]}…",
            )
        raise BreachError(
            "I7", f"run {model.run} to end before another starts", "WorkflowStarted"
        )
    if event.run != model.run + 1:
        raise BreachError("I7", f"run {model.run + 1} next", f"run {event.run}")
    graph = graphs.get(body.graph_digest)
    if graph is None:
        raise BreachError(
            "I18",
            f"a published definition with graph digest {body.graph_digest[:16]}…",
            "there is none",
        )
    if graph.definition_hash != body.definition_hash or graph.workflow != body.workflow:
        raise BreachError(
            "I18",
            f"workflow {graph.workflow!r} {graph.definition_hash[:16]}…, as "
            "the graph of that digest says",
            f"{body.workflow!r} {body.definition_hash[:16]}…",
        )
    signals = model.values if model.run == 0 else {}
    if model.run:
        model.buffered.clear()
    model.forget_run()
    model.run, model.graph, model.doubtful = event.run, graph, False
    model.values = {**signals, "start": body.input}
    model.may_open[graph.first] = "start"
    model.required = RequiredEvent("I11", "the opening", graph.first)


def check_retried(model: RunModel, event: Event) -> None:
    """A failed run goes on: open attempts are due again, and the failed node opens."""
    if not model.failed or model.graph is None:
        raise BreachError("I7", "a failed run before", event.kind)
    if event.run != model.run + 1:
        raise BreachError("I7", f"run {model.run + 1} next", f"run {event.run}")
    model.pause = model.cancel = None
    failed, model.failed = model.failed, ""
    model.run, model.may_fail = event.run, {}
    for open_node in model.open_nodes.values():
        if open_node.attempt:
            open_node.next_attempt(1, 0, event.sequence)
    node = model.graph.node(failed)
    if isinstance(node, LoopNode | SignalNode):
        failed_node = model.open_nodes.pop(failed, None)
        model.forget_inside(failed)
        model.may_open[failed] = "null" if failed_node is None else failed_node.input
        model.required = RequiredEvent("I11", "the opening", failed)


def check_terminated(model: RunModel, _event: Event) -> None:
    """A run gives way to another; that one starts in the same decision."""
    model.required = RequiredEvent("I7", "WorkflowStarted")


def check_run_completed(model: RunModel, event: Event) -> None:
    """The root chain has ended, and its result is the output."""
    body = event.body
    assert isinstance(body, WorkflowCompleted)
    result = model.may_close.get("")
    if result is None:
        stands = ", ".join(sorted(map(repr, model.open_nodes))[:5]) or "nothing"
        raise BreachError(
            "I11", "the root chain to end before WorkflowCompleted", f"{stands} stands"
        )
    check_bytes(model, result, body.output, "the output")


def check_run_failed(model: RunModel, event: Event) -> None:
    """Something failed for good, there."""
    body = event.body
    assert isinstance(body, WorkflowFailed)
    model.failed = body.path
    if body.path in model.may_fail and model.cancel is None:
        why, seen = model.may_fail[body.path], (body.error_type, body.error)
        if why not in (None, seen):
            raise BreachError("I7", f"the failure {why}, as recorded", f"{seen}")
        return
    if not model.is_held and _ends_without_mark(model, body.path):
        return
    failed_at = ", ".join(map(repr, model.may_fail)) or "nothing failed"
    raise BreachError(
        "I7", f"a failure at {body.path!r} before WorkflowFailed", failed_at
    )


def _ends_without_mark(model: RunModel, path: str) -> bool:
    """Whether a loop's body at `path` ended without a mark of what follows."""
    open_node = model.open_nodes.get(path)
    if open_node is None or not isinstance(open_node.node, LoopNode):
        return False
    result = model.may_close.get(f"{path}@{open_node.iteration}")
    return result is not None and result not in model.marks
