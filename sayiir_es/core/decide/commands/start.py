"""Starting a run: which graph, what stands there already, and the first node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide.advance import advance, open_node
from sayiir_es.core.decide.commands.child_end import is_start_repeated, takes_place
from sayiir_es.core.decide.rejections import acknowledge, reject_start
from sayiir_es.core.decide.start_queue import ask_run_permit
from sayiir_es.core.draft import Draft
from sayiir_es.core.model.events import WorkflowStarted, WorkflowTerminated
from sayiir_es.core.model.rows import TERMINAL, get_run
from sayiir_es.core.nodes.run_deadline import deadline_of

if TYPE_CHECKING:
    from sayiir_es.core.draft import Basis, Decision
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.commands import StartWorkflow


def start(basis: Basis, command: StartWorkflow, traceparent: str | None) -> Decision:
    """Answer a start by the conflict policy.

    A run of another definition is an existing one too: whoever starts the same again
    behind a deploy gets the same answer as before. A node that starts its child anew,
    in a later run of its own instance, gets it: the run before gives way.
    """
    definitions = basis.context.definitions
    graph = definitions.by_name(
        command.workflow, command.definition_hash, command.version
    )
    if graph is None:
        wanted = "" if command.version is None else _version_text(command.version)
        if command.definition_hash:
            wanted += f" with definition hash {command.definition_hash!r}"
        message = (
            f"expected a published workflow {command.workflow!r}{wanted}, but there "
            "is none"
        )
        return reject_start(basis, command, "unknown_workflow", message)
    if get_run(basis.rows) is not None and not takes_place(basis, command):
        if is_start_repeated(basis, command):
            return acknowledge(basis, command, "unchanged", basis.header.sequence)
        if command.conflict_policy == "fail":
            message = f"expected no instance {command.instance_id!r}, but it exists"
            return reject_start(basis, command, "already_exists", message)
        if command.conflict_policy == "use_existing":
            return acknowledge(basis, command, "unchanged", basis.header.sequence)
    return _start(basis, command, graph, traceparent)


def _version_text(version: str) -> str:
    return f" of version {version!r}" if version else " without a version"


def _start(
    basis: Basis, command: StartWorkflow, graph: Graph, traceparent: str | None
) -> Decision:
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
            deadline_at=deadline_of(graph, draft.now_ms),
            version=graph.version,
            traceparent=traceparent,
            parent=command.parent,
            parent_run=command.parent_run,
            parent_path=command.parent_path,
            parent_secret=command.parent_secret,
        ),
        run=header.run + 1,
    )
    if not ask_run_permit(draft, is_bounded=True):
        open_node(draft, graph.first, "start")
    advance(draft)
    return draft.decision()
