"""What a command needs to be decided that the snapshots do not hold.

A start may name a workflow that was published after this process last looked; a fork
needs the history of its source. Both are read before the command is handed over, so
that deciding waits for nothing.
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
    """Reads what commands need; returns what is to be handed over with them."""

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

    async def prepare(self, command: Command) -> SourceHistory | None:
        """Read the definitions to their end before a workflow is said to be unknown.

        Raises:
            LogError: if the log does not answer.
        """
        if isinstance(command, StartWorkflow):
            known = self._registry.by_name(command.workflow, command.definition_hash)
            if known is None:
                await self._refresh_definitions()
        elif isinstance(command, ForkWorkflow) and self._sane(command):
            source = await read_source(self._log, command, self._limits.copied_bytes)
            if any(self._unknown(event.body) for event in source.events):
                await self._refresh_definitions()
            return source
        return None

    def _sane(self, fork: ForkWorkflow) -> bool:
        """Whether it is worth reading: what is no instance's id has no history."""
        size = len(fork.source_instance_id.encode())
        return 0 < size <= self._limits.id_bytes and fork.source_sequence > 0

    def _unknown(self, body: object) -> bool:
        return isinstance(body, WorkflowStarted) and (
            self._registry.by_digest(body.graph_digest) is None
        )
