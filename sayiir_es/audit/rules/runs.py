"""I7, I11, I18 and I19 of whole runs: how they begin and how they end, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sayiir_es.audit.rules import requests, run_permits
from sayiir_es.audit.rules.catching import catcher_of
from sayiir_es.audit.rules.compensations import check_lists
from sayiir_es.audit.rules.references import bytes_of, check_bytes
from sayiir_es.audit.rules.requests import check_nothing_runs
from sayiir_es.audit.rules.run_deadline import check_out_of_time, check_run_deadline
from sayiir_es.audit.rules.run_model import RequiredEvent
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.graph import title_of
from sayiir_es.core.graph.nodes import ForkNode, LoopNode, SignalNode, StartChildNode
from sayiir_es.core.model.compensation_events import CompensationRequested
from sayiir_es.core.model.events import (
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRetried,
    WorkflowStarted,
)

if TYPE_CHECKING:
    from sayiir_es.audit.rules.graph_model import GraphModel
    from sayiir_es.audit.rules.run_model import RunModel, Why
    from sayiir_es.core.model.events import Event


TOO_LARGE = "too_large"
"""The error type of a run that failed because an event of it fits no batch."""

BATCH_BYTES_LEAST = 900_000
"""What every log takes in one batch, in bytes; the contract's number."""

EVENT_OVERHEAD_BYTES = 200
"""What an event takes beside its data, path, instance and cause, at most."""

NO_NODE = "%"
"""Where a run failed that was out of time: no path is this."""

NAME_BYTES = 3
"""What a name takes beside its bytes, at most: its length."""


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
    says = body.workflow, body.version, body.definition_hash
    if says != (graph.workflow, graph.version, graph.definition_hash):
        raise BreachError(
            "I18",
            f"workflow {title_of(graph.workflow, graph.version)} "
            f"{graph.definition_hash[:16]}…, as the graph of that digest says",
            f"{title_of(body.workflow, body.version)} {body.definition_hash[:16]}…",
        )
    signals = model.values if model.run == 0 else {}
    if model.run:
        model.buffered.clear()
    model.forget_run()
    model.run, model.graph, model.doubtful = event.run, graph, False
    model.values = {**signals, "start": body.input}
    check_run_deadline(model, event, body.deadline_at)
    model.may_open[graph.first] = "start"
    model.required = RequiredEvent("I11", "the opening", graph.first)
    if graph.graph.start_queue is not None:
        kinds = "RunPermitAsked or WorkflowFailed"
        model.required = RequiredEvent("I26", kinds)


def check_retried(model: RunModel, event: Event) -> None:
    """A failed run goes on: open attempts are due again, and the failed node opens."""
    body = event.body
    assert isinstance(body, WorkflowRetried)
    if not model.failed or model.graph is None:
        raise BreachError("I7", "a failed run before", event.kind)
    if event.run != model.run + 1:
        raise BreachError("I7", f"run {model.run + 1} next", f"run {event.run}")
    model.pause = model.cancel = None
    run_permits.forget(model)
    undo = model.undo
    if undo.undone:
        undo.try_again()
        if not undo.to_undo or body.input is not None:
            seen = "all is undone" if not undo.to_undo else "an input"
            raise BreachError("I22", "a compensation that failed, to try again", seen)
        undo.reason, model.run, model.failed = "failed", event.run, ""
        check_run_deadline(model, event, body.deadline_at)
        return
    undo.failed_at = undo.why = None
    check_run_deadline(model, event, body.deadline_at)
    failed, model.failed = model.failed, ""
    model.run, model.may_fail, model.bases = event.run, {}, {}
    _make_due_again(model, event)
    if body.input is not None:
        if failed not in model.open_nodes:
            raise BreachError("I7", f"a node at {failed!r} that takes an input", "none")
        model.open_nodes[failed].input = f"retried:{event.sequence}"
        model.values[f"retried:{event.sequence}"] = body.input
    node = model.graph.node(failed)
    reopens = isinstance(node, LoopNode | SignalNode | StartChildNode)
    if reopens and not _has_not_failed(model, failed):
        failed_node = model.open_nodes.pop(failed, None)
        model.may_request.discard(failed)
        model.forget_inside(failed)
        model.may_open[failed] = "null" if failed_node is None else failed_node.input
        model.required = RequiredEvent("I11", "the opening", failed)


def _make_due_again(model: RunModel, event: Event) -> None:
    """Open attempts begin at 1; a child that is cancelled with the run starts anew."""
    for open_node in model.open_nodes.values():
        node = open_node.node
        if open_node.attempt:
            open_node.next_attempt(1, 0, event.sequence)
            open_node.since = event.at
        elif isinstance(node, StartChildNode) and (
            node.on_parent_end == "cancel" or not open_node.child_id
        ):
            model.may_request.add(open_node.path)
            open_node.child_id = ""


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
    check_lists(model, body)
    if model.undo.failed_at is None:
        if not body.path:
            model.failed = NO_NODE
        _check_cause_of_failure(model, event, body)
        if model.must_be_undone(event.at):
            raise BreachError(
                "I22", "CompensationRequested, as tasks can be undone", event.kind
            )
        return
    if model.is_stopping:
        check_nothing_runs(model, event, "I22")
    expected = (model.undo.failed_at, model.undo.why)
    seen = (body.path, (body.error_type, body.error))
    if model.cancel is not None or expected != seen:
        raise BreachError("I22", f"the failure {expected}, as recorded", f"{seen}")
    if not body.path:
        model.failed = NO_NODE


def check_cancelled(model: RunModel, event: Event) -> None:
    """The run ends where it stood, with what it did undone."""
    body = event.body
    assert isinstance(body, WorkflowCancelled)
    requests.check_cancelled(model, event)
    check_lists(model, body)


def check_requested(model: RunModel, event: Event) -> None:
    """Something failed for good, and what was done is to be undone."""
    body = event.body
    assert isinstance(body, CompensationRequested)
    if model.is_stopping or model.undo.reason:
        raise BreachError("I22", "one CompensationRequested a run", "another")
    _check_cause_of_failure(model, event, body)
    if model.must_be_undone(event.at) is False:
        raise BreachError("I22", "WorkflowFailed, as nothing can be undone", event.kind)
    model.undo.failed_at = body.path
    model.undo.why = (body.error_type, body.error)
    model.pause, model.paused, model.queued = None, False, False


def _check_cause_of_failure(
    model: RunModel, event: Event, body: WorkflowFailed | CompensationRequested
) -> None:
    """Check that what fails a run has failed, and that nothing catches it."""
    if not body.path and body.error_type in run_permits.FAILURES:
        run_permits.check_refused(model, event, body)
        return
    if not body.path:
        check_out_of_time(model, event, body)
        return
    check_failure(model, event, body.path, (body.error_type, body.error))
    around = catcher_of(
        model, body.path, body.error_type, model.bases.get(body.path, ())
    )
    if around is not None:
        raise BreachError("I23", f"{body.error_type} caught at {around!r}", event.kind)


def check_failure(model: RunModel, event: Event, path: str, seen: Why) -> None:
    """Check that the node at a path has failed, and so, as was recorded."""
    if path in model.may_fail and model.cancel is None:
        why = model.may_fail[path]
        if why not in (None, seen):
            raise BreachError("I7", f"the failure {why}, as recorded", f"{seen}")
        return
    if not model.is_held and _ends_without_mark(model, path):
        return
    if not model.is_held and seen[0] == TOO_LARGE:
        _check_too_large(model, event, path)
        return
    failed_at = ", ".join(map(repr, model.may_fail)) or "nothing failed"
    raise BreachError("I7", f"a failure at {path!r} before {event.kind}", failed_at)


def _has_not_failed(model: RunModel, path: str) -> bool:
    """Whether the run failed before the node at `path` opened, or behind its end."""
    if path in model.may_open:
        return True
    return path not in model.open_nodes and path.rpartition("/")[0] in model.may_close


def _check_too_large(model: RunModel, event: Event, path: str) -> None:
    """Check that what was owed at `path` fits no batch of any log."""
    data = _owed_bytes(model, path)
    around = 2 * len(event.instance_id.encode()) + len(event.cause.encode())
    size = data + around + len(path.encode()) + EVENT_OVERHEAD_BYTES
    if size <= BATCH_BYTES_LEAST:
        raise BreachError(
            "I7",
            f"an event of more than {BATCH_BYTES_LEAST} bytes to be owed at {path!r}",
            f"{size} bytes at most, and WorkflowFailed with {TOO_LARGE}",
        )


def _owed_bytes(model: RunModel, path: str) -> int:
    """How many bytes of data the event holds that is owed at `path`; 0 where none is.

    Of an output, of a loop's value, or of the branches that a fork names: nothing else
    grows.
    """
    assert model.graph is not None
    if path in model.may_open:
        if not model.graph.is_container(path, ForkNode):
            return 0
        names = model.graph.firsts(path)
        size = sum(NAME_BYTES + len(name.encode()) for name in names)
        return size + len(model.may_open[path].encode())
    open_node = model.open_nodes.get(path)
    if open_node is not None:
        reference = model.may_close.get(f"{path}@{open_node.iteration}")
    elif "/" in path or model.graph.successor(path) is not None:
        reference = None
    else:
        reference = model.may_close.get("")
    return 0 if reference is None else len(bytes_of(model, reference))


def _ends_without_mark(model: RunModel, path: str) -> bool:
    """Whether a loop's body at `path` ended without a mark of what follows."""
    open_node = model.open_nodes.get(path)
    if open_node is None or not isinstance(open_node.node, LoopNode):
        return False
    result = model.may_close.get(f"{path}@{open_node.iteration}")
    return result is not None and result not in model.marks
