"""Starting a run: which graph, what stands there already, and the first node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.decide.advance import advance, open_node
from sayiir_es.core.decide.rejections import acknowledge, reject
from sayiir_es.core.model.events import WorkflowStarted, WorkflowTerminated
from sayiir_es.core.model.rows import TERMINAL, Header, get_run

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.graph.lookup import Definitions
    from sayiir_es.core.model.commands import StartWorkflow


def start(draft: Draft, command: StartWorkflow, definitions: Definitions) -> None:
    """Answer a start by the conflict policy."""
    graph = definitions.by_name(command.workflow, command.definition_hash)
    if graph is None:
        wanted = (
            f" with definition hash {command.definition_hash!r}"
            if command.definition_hash
            else ""
        )
        reject(
            draft,
            command,
            "unknown_workflow",
            f"expected a published workflow {command.workflow!r}{wanted}, but there "
            "is none",
        )
        return
    header, started = draft.header, get_run(draft.rows)
    policy = command.conflict_policy
    if header is not None and started is not None:
        given_hash = graph.definition_hash
        if policy != "terminate_existing" and started.definition_hash != given_hash:
            reject(
                draft,
                command,
                "definition_mismatch",
                f"expected hash '{given_hash}', found '{started.definition_hash}'",
            )
            return
        if policy == "fail":
            reject(
                draft,
                command,
                "already_exists",
                f"expected no instance {command.instance_id!r}, but it exists",
            )
            return
        if policy == "use_existing":
            acknowledge(draft, command, "unchanged", header.sequence)
            return
    _run(draft, command, graph, header)


def _run(
    draft: Draft, command: StartWorkflow, graph: Graph, header: Header | None
) -> None:
    draft.graph = graph
    if header is not None and header.run > 0 and header.phase not in TERMINAL:
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
        run=(header.run if header is not None else 0) + 1,
    )
    open_node(draft, graph.first, "start")
    advance(draft)
