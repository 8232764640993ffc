"""I18 of migrations: a run goes on with another graph, from where it stands.

Theory of operation. What the model holds moves to the paths of the new graph, as the
event maps them. What may open next is not what the old graph says, so it is worked out
again from what ended before: the node that follows it in the new graph, or the end of
its chain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.audit.violation import BreachError
from sayiir_es.core.graph.path_mapping import PathMapping
from sayiir_es.core.graph.same_place import kind_of
from sayiir_es.core.model.events import WorkflowMigrated

if TYPE_CHECKING:
    from sayiir_es.audit.rules.graph_model import GraphModel
    from sayiir_es.audit.rules.run_model import RunModel
    from sayiir_es.audit.rules.runs import GraphModels
    from sayiir_es.core.model.events import Event


def check_migrated(model: RunModel, event: Event, graphs: GraphModels) -> None:
    """Everything that is open has its place in a published graph of the workflow."""
    body, undo = event.body, model.undo
    assert isinstance(body, WorkflowMigrated)
    if not model.failed and (undo.reason or undo.failed_at is not None):
        raise BreachError("I18", "no migration of a run that is undone", event.kind)
    assert model.graph is not None
    graph, old = graphs.get(body.graph_digest), model.graph
    if graph is None:
        raise BreachError(
            "I18",
            f"a published definition with graph digest {body.graph_digest[:16]}…",
            "there is none",
        )
    says = old.workflow, body.version, body.definition_hash
    if says != (graph.workflow, graph.version, graph.definition_hash):
        raise BreachError(
            "I18",
            f"the workflow, version and hash of the graph {graph.digest[:16]}…, which "
            f"are {(graph.workflow, graph.version, graph.definition_hash[:16])}",
            f"{says}",
        )
    mapping = PathMapping(body.mapping)
    for path, open_node in model.open_nodes.items():
        new_path = mapping.path(path)
        expected, seen = kind_of(old.place(path)), kind_of(graph.place(new_path))
        place = graph.place(new_path)
        if expected != seen or place is None:
            raise BreachError(
                "I18", f"{expected} at {new_path!r}, where {path!r} goes on", seen
            )
        open_node.path, open_node.node = new_path, place.node
        open_node.input = mapping.reference(open_node.input)
    for path in (*undo.to_undo, *undo.listed(undone=False)):
        if not graph.can_be_undone(mapping.path(path)):
            raise BreachError(
                "I18", f"a task with a compensation at {mapping.path(path)!r}", "none"
            )
    _move(model, mapping)
    model.migrated = event.sequence
    _follow(model, old, graph, mapping)
    model.graph = graph
    if not model.run_permit:
        model.needs_no_run_permit = True
    elif model.queued and model.may_open.keys() == {mapping.path(old.first)}:
        model.may_open = {graph.first: "start"}  # it has not begun
    undo.move(mapping.path)


def _move(model: RunModel, mapping: PathMapping) -> None:
    """Move what is kept by path, and references to it."""
    path, reference = mapping.path, mapping.reference
    model.open_nodes = {path(one): node for one, node in model.open_nodes.items()}
    model.waits = {
        signal: {path(one): None for one in paths}
        for signal, paths in model.waits.items()
    }
    model.may_request = {path(one) for one in model.may_request}
    model.may_fail = {path(one): why for one, why in model.may_fail.items()}
    model.bases = {path(one): bases for one, bases in model.bases.items()}
    model.caught = {
        path(one): caught._replace(
            path=path(caught.path), input=reference(caught.input)
        )
        for one, caught in model.caught.items()
    }
    model.branch_results = {
        path(chain): reference(result) for chain, result in model.branch_results.items()
    }
    model.keys = {path(one): key for one, key in model.keys.items()}
    model.marks = {reference(one): mark for one, mark in model.marks.items()}
    model.values = {reference(one): data for one, data in model.values.items()}
    model.scopes = {
        path(body): [reference(one) for one in references]
        for body, references in model.scopes.items()
    }
    model.failed = path(model.failed)


def _follow(
    model: RunModel, old: GraphModel, new: GraphModel, mapping: PathMapping
) -> None:
    """Work out what may open, or close, behind what had ended."""
    pending = [
        (old.predecessor(path), path.rpartition("/")[0], reference)
        for path, reference in model.may_open.items()
    ]
    pending += [
        (old.last_of(chain), chain, reference)
        for chain, reference in model.may_close.items()
    ]
    model.may_open, model.may_close = {}, {}
    for ended, chain, reference in pending:
        new_chain, result = mapping.path(chain), mapping.reference(reference)
        if ended is None:  # nothing of the chain has opened
            following = new.first_of(new_chain)
        else:
            following = new.successor(mapping.path(ended))
        if following is None:
            model.may_close[new_chain] = result
        else:
            model.may_open[following] = result
