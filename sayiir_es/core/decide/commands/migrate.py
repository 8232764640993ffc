"""Migrating an instance: it goes on with another graph, from where it stands.

Theory of operation. Everything is checked before: every cursor must stand at a place of
the same kind in the new graph, with the same around it, and every value that is still
needed must be there. So must be what undoes each completed task that can be undone;
once a run is being undone it stays with its graph. `WorkflowMigrated` then folds the
rows to their new paths; what runs or waits goes on, with the times that it has.

An attempt that runs has a token with its path, so its node stays where it is: whoever
wants to move it pauses the instance first. What only waits for a slot, or for code, is
taken back and handed out with the new graph.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sayiir_es.core.decide.advance import advance
from sayiir_es.core.decide.basis import draft_in_run
from sayiir_es.core.decide.commands.migration_checks import (
    wrong_mapping,
    wrong_places,
    wrong_undo,
    wrong_values,
)
from sayiir_es.core.decide.owed import owed_moves
from sayiir_es.core.decide.rejections import (
    acknowledge,
    reject,
    reject_not_found,
    reject_quarantined,
    reject_terminal,
)
from sayiir_es.core.graph.path_mapping import PathMapping
from sayiir_es.core.model.events import WorkflowMigrated
from sayiir_es.core.model.rows import TERMINAL

if TYPE_CHECKING:
    from sayiir_es.core.draft import Basis, Decision
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.commands import MigrateWorkflow

LATEST = "latest"
"""The graph that a start by name takes."""

_BEGINNING = re.compile("[0-9a-f]{8,64}")


def migrate(
    basis: Basis, command: MigrateWorkflow, running: frozenset[str]
) -> Decision:
    """Answer a migrate; `running` are the paths whose attempts run."""
    header = basis.header
    if header.run == 0:
        return reject_not_found(basis, command)
    if header.phase == "quarantined":
        return reject_quarantined(basis, command)
    if header.phase in TERMINAL and header.phase != "failed":
        return reject_terminal(basis, command)
    if header.compensation != "none":
        seen = "has failed" if header.cancel is None else "was cancelled"
        message = f"expected a run that may go on, but it {seen}, and is being undone"
        return reject(basis, command, "not_migratable", message)
    draft = draft_in_run(basis)
    old, found = draft.graph, _find(basis, command, draft.graph.name)
    if isinstance(found, tuple):
        return reject(basis, command, *found)
    mapping = PathMapping(command.mapping)
    wrong = wrong_mapping(old, command.mapping, mapping)
    if wrong is not None:
        return reject(basis, command, "bad_request", wrong)
    if found.digest == old.digest and not command.mapping:
        return acknowledge(basis, command, "unchanged", header.sequence)
    graphs = old, found
    wrong = wrong_places(basis.rows, graphs, mapping, running)
    wrong = wrong or wrong_undo(basis.rows, graphs, mapping)
    if wrong is not None:
        return reject(basis, command, "not_migratable", wrong)
    draft.emit(
        WorkflowMigrated(
            command_id=command.command_id,
            graph_digest=found.digest,
            definition_hash=found.definition_hash,
            version=found.version,
            mapping=dict(command.mapping),
            reason=command.reason,
            requested_by=command.requested_by,
        )
    )
    draft.graph = found
    wrong = wrong_values(draft.rows, found)
    if wrong is not None:
        return reject(basis, command, "not_migratable", wrong)
    draft.touched.extend(reversed(owed_moves(draft.rows, found)))
    advance(draft)
    return draft.decision()


def _find(
    basis: Basis, command: MigrateWorkflow, workflow: str
) -> Graph | tuple[str, str]:
    """The graph that is meant; or a code and a text that say why there is none."""
    definitions, to = basis.context.definitions, command.to
    if to == LATEST:
        latest = definitions.by_name(workflow, None)
        found = [] if latest is None else [latest]
    elif _BEGINNING.fullmatch(to):
        found = [*definitions.find_graphs(workflow, to)]
    else:
        message = (
            "expected latest, or 8 to 64 hex digits of a definition hash or graph "
            f"digest, but {to!r:.100}"
        )
        return "bad_request", message
    if len(found) == 1:
        return found[0]
    if found:
        message = (
            f"expected one graph of {workflow!r} whose hash or digest begins with "
            f"{to!r}, but {len(found)}"
        )
        return "bad_request", message
    message = f"expected a published graph {to!r} of {workflow!r}, but there is none"
    return "unknown_workflow", message
