"""I7, I11, I18 and I19 of whole runs: how they begin and how they end, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sayiir_es.audit.rules.lineage import same_bytes
from sayiir_es.audit.rules.run_model import Must
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.nodes import LoopNode, SignalNode
from sayiir_es.core.model.events import (
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowStarted,
)

if TYPE_CHECKING:
    from sayiir_es.audit.rules.blueprint import Blueprint
    from sayiir_es.audit.rules.run_model import RunModel
    from sayiir_es.core.model.events import Event


class Blueprints(Protocol):
    """The definitions that were published."""

    def get(self, digest: str, /) -> Blueprint | None:
        """The one with that graph digest, or None."""
        ...


def started(model: RunModel, event: Event, blueprints: Blueprints) -> None:
    """A run begins, one above the one before; its definition was published."""
    body = event.body
    assert isinstance(body, WorkflowStarted)
    if model.blueprint is not None:
        if event.run == model.run and (
            model.blueprint.definition_hash != body.definition_hash
        ):
            raise BreachError(
                "I18",
                f"one definition, {model.blueprint.definition_hash[:16]}…, a run",
                f"another WorkflowStarted with {body.definition_hash[:16]}…",
            )
        raise BreachError(
            "I7", f"run {model.run} to end before another starts", "WorkflowStarted"
        )
    if event.run != model.run + 1:
        raise BreachError("I7", f"run {model.run + 1} next", f"run {event.run}")
    blueprint = blueprints.get(body.graph_digest)
    if blueprint is None:
        raise BreachError(
            "I18",
            f"a published definition with graph digest {body.graph_digest[:16]}…",
            "there is none",
        )
    if (
        blueprint.definition_hash != body.definition_hash
        or blueprint.graph.name != body.workflow
    ):
        raise BreachError(
            "I18",
            f"workflow {blueprint.graph.name!r} {blueprint.definition_hash[:16]}…, as "
            "the graph of that digest says",
            f"{body.workflow!r} {body.definition_hash[:16]}…",
        )
    signals = model.values if model.run == 0 else {}
    if model.run:
        model.buffered.clear()
    model.forget_run()
    model.run, model.blueprint, model.doubtful = event.run, blueprint, False
    model.values = {**signals, "start": body.input}
    model.may_open[blueprint.first] = "start"
    model.must = Must("I11", "the opening", blueprint.first)


def retried(model: RunModel, event: Event) -> None:
    """A failed run goes on: what stands is due again, and the failed node opens."""
    if not model.failed or model.blueprint is None:
        raise BreachError("I7", "a failed run before", event.kind)
    if event.run != model.run + 1:
        raise BreachError("I7", f"run {model.run + 1} next", f"run {event.run}")
    model.pause = model.cancel = None
    failed, model.failed = model.failed, ""
    model.run, model.may_fail = event.run, {}
    for found in model.standing.values():
        if found.attempt:
            found.next_attempt(1, 0, event.sequence)
    node = model.blueprint.node(failed)
    if isinstance(node, LoopNode | SignalNode):
        standing = model.standing.pop(failed, None)
        model.forget_inside(failed)
        model.may_open[failed] = "null" if standing is None else standing.input
        model.must = Must("I11", "the opening", failed)


def terminated(model: RunModel, _event: Event) -> None:
    """A run gives way to another; that one starts in the same decision."""
    model.must = Must("I7", "WorkflowStarted")


def completed(model: RunModel, event: Event) -> None:
    """The root chain has ended, and its result is the output."""
    body = event.body
    assert isinstance(body, WorkflowCompleted)
    result = model.may_close.get("")
    if result is None:
        stands = ", ".join(sorted(map(repr, model.standing))[:5]) or "nothing"
        raise BreachError(
            "I11", "the root chain to end before WorkflowCompleted", f"{stands} stands"
        )
    same_bytes(model, result, body.output, "the output")


def failed(model: RunModel, event: Event) -> None:
    """Something failed for good, there."""
    body = event.body
    assert isinstance(body, WorkflowFailed)
    model.failed = body.path
    if body.path in model.may_fail and model.cancel is None:
        why, seen = model.may_fail[body.path], (body.error_type, body.error)
        if why not in (None, seen):
            raise BreachError("I7", f"the failure {why}, as recorded", f"{seen}")
        return
    if not model.held and _ends_without_mark(model, body.path):
        return
    failed_at = ", ".join(map(repr, model.may_fail)) or "nothing failed"
    raise BreachError(
        "I7", f"a failure at {body.path!r} before WorkflowFailed", failed_at
    )


def _ends_without_mark(model: RunModel, path: str) -> bool:
    """Whether a loop's body at `path` ended and did not say what follows."""
    found = model.standing.get(path)
    if found is None or not isinstance(found.node, LoopNode):
        return False
    result = model.may_close.get(f"{path}@{found.iteration}")
    return result is not None and result not in model.marks
