"""The answers that change nothing: refusals and acknowledgements, and their texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.graph.lookup import get_graph
from sayiir_es.core.model.events import CommandAcknowledged, CommandRejected

if TYPE_CHECKING:
    from sayiir_es.core.draft import Draft
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.graph.lookup import Definitions
    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.model.rows import Header

NOT_FOUND = "expected an instance {!r}, but there is none"
"""The text of every `not_found`."""


def existing(draft: Draft, command: Command) -> Header | None:
    """The header of the run, or None after a refusal: there is no run."""
    header = draft.header
    if header is None or header.run == 0:
        reject(draft, command, "not_found", NOT_FOUND.format(command.instance_id))
        return None
    return header


def load_graph(draft: Draft, definitions: Definitions) -> Graph:
    """Let the draft know the graph of the current run."""
    draft.graph = get_graph(draft.rows, definitions)
    return draft.graph


def not_terminal(command: Command, header: Header) -> str:
    """The text of every `terminal`."""
    return (
        f"expected an instance that has not ended, but {command.instance_id!r} is "
        f"{header.phase}"
    )


def reject(draft: Draft, command: Command, code: str, message: str) -> None:
    """Refuse a command with a stable code."""
    draft.answer(
        CommandRejected(
            command=type(command).__name__,
            command_id=command.command_id[: draft.limits.id_bytes],
            code=code,
            message=message,
        )
    )


def acknowledge(draft: Draft, command: Command, code: str, answered_by: int) -> None:
    """Say that a command changes nothing: `duplicate` or `unchanged`."""
    draft.answer(
        CommandAcknowledged(
            command=type(command).__name__,
            command_id=command.command_id,
            code="duplicate" if code == "duplicate" else "unchanged",
            answered_by=answered_by,
        )
    )
