"""Starting a run: which graph, what stands there already, and the first node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.events import WorkflowStarted, WorkflowTerminated
from sayiir_es.core.refusals import acknowledge, reject
from sayiir_es.core.rows import TERMINAL, Header, run
from sayiir_es.core.settle import open_node, settle

if TYPE_CHECKING:
    from sayiir_es.core.commands import StartWorkflow
    from sayiir_es.core.definition import Graph
    from sayiir_es.core.definitions import Definitions
    from sayiir_es.core.draft import Draft


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
    known, started = draft.header, run(draft.rows)
    policy = command.conflict_policy
    if known is not None and started is not None:
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
            acknowledge(draft, command, "unchanged", known.sequence)
            return
    _run(draft, command, graph, known)


def _run(
    draft: Draft, command: StartWorkflow, graph: Graph, known: Header | None
) -> None:
    draft.graph = graph
    if known is not None and known.run > 0 and known.phase not in TERMINAL:
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
        run=(known.run if known is not None else 0) + 1,
    )
    open_node(draft, graph.first, "start")
    settle(draft)
