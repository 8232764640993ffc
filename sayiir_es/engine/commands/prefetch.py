"""Reads what a command needs to be decided and the snapshot does not hold.

A start may name a workflow that was published after this process last read the
definitions; a fork needs the history of its source. Both are read before the command is
handed to the owner, so that deciding never waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.commands import ForkWorkflow, StartWorkflow
from sayiir_es.core.model.events import WorkflowStarted
from sayiir_es.engine.commands.source_history import read_source

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.model.inputs import SourceHistory
    from sayiir_es.core.model.limits import Limits
    from sayiir_es.engine.ports import Ports


class Prefetch:
    """Reads what commands need, before they are handed to the owner."""

    def __init__(
        self,
        ports: Ports,
        limits: Limits,
        refresh_definitions: Callable[[], Awaitable[None]],
    ) -> None:
        self._log = ports.log
        self._registry = ports.registry
        self._limits = limits
        self._refresh_definitions = refresh_definitions

    async def prefetch(self, command: Command) -> SourceHistory | None:
        """Read what `command` needs; return the source's history if it is a fork.

        A workflow is called unknown only after the definitions were read to their end.

        Raises:
            LogError: if the log does not answer.
        """
        if isinstance(command, StartWorkflow):
            graph = self._registry.by_name(command.workflow, command.definition_hash)
            if graph is None:
                await self._refresh_definitions()
        elif isinstance(command, ForkWorkflow) and self._is_plausible(command):
            source = await read_source(self._log, command, self._limits.copied_bytes)
            if any(self._starts_unknown_graph(event.body) for event in source.events):
                await self._refresh_definitions()
            return source
        return None

    def _is_plausible(self, fork: ForkWorkflow) -> bool:
        """Whether its source can exist: other ids and sequences have no history."""
        size = len(fork.source_instance_id.encode())
        return 0 < size <= self._limits.id_bytes and fork.source_sequence > 0

    def _starts_unknown_graph(self, body: object) -> bool:
        return isinstance(body, WorkflowStarted) and (
            self._registry.by_digest(body.graph_digest) is None
        )
