"""Starting a run: which graph, what stands there already, and the first node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide.advance import advance, open_node
from sayiir_es.core.decide.rejections import acknowledge, reject
from sayiir_es.core.draft import Draft
from sayiir_es.core.model.events import WorkflowStarted, WorkflowTerminated
from sayiir_es.core.model.rows import TERMINAL, get_run

if TYPE_CHECKING:
    from sayiir_es.core.draft import Basis, Decision
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.commands import StartWorkflow
    from sayiir_es.core.model.rows import Run


def start(basis: Basis, command: StartWorkflow) -> Decision:
    """Answer a start by the conflict policy."""
    definitions = basis.context.definitions
    graph = definitions.by_name(command.workflow, command.definition_hash)
    if graph is None:
        wanted = (
            f" with definition hash {command.definition_hash!r}"
            if command.definition_hash
            else ""
        )
        message = (
            f"expected a published workflow {command.workflow!r}{wanted}, but there "
            "is none"
        )
        return reject(basis, command, "unknown_workflow", message)
    run = get_run(basis.rows)
    conflict = None if run is None else _conflict(basis, command, graph, run)
    return _start(basis, command, graph) if conflict is None else conflict


def _conflict(
    basis: Basis, command: StartWorkflow, graph: Graph, run: Run
) -> Decision | None:
    """The answer where there is a run already; None where the new one takes over."""
    policy = command.conflict_policy
    if policy != "terminate_existing" and run.definition_hash != graph.definition_hash:
        message = (
            f"expected hash '{graph.definition_hash}', found '{run.definition_hash}'"
        )
        return reject(basis, command, "definition_mismatch", message)
    if policy == "fail":
        message = f"expected no instance {command.instance_id!r}, but it exists"
        return reject(basis, command, "already_exists", message)
    if policy == "use_existing":
        return acknowledge(basis, command, "unchanged", basis.header.sequence)
    return None


def _start(basis: Basis, command: StartWorkflow, graph: Graph) -> Decision:
    draft, header = Draft(basis, graph), basis.header
    if header.run > 0 and header.phase not in TERMINAL:
        draft.emit(
            WorkflowTerminated(
                command_id=command.command_id, reason="terminate_existing"
            )
        )
    draft.emit(
        WorkflowStarted(
            command_id=command.command_id,
            workflow=command.workflow,
            definition_hash=graph.definition_hash,
            graph_digest=graph.digest,
            input=command.input,
            conflict_policy=command.conflict_policy,
            attributes=dict(command.attributes),
        ),
        run=header.run + 1,
    )
    open_node(draft, graph.first, "start")
    advance(draft)
    return draft.decision()
