"""Reads what a command needs to be decided and the snapshot does not hold.

A start may name a workflow that was published after this process last read the
definitions: they are read before the command is handed to the owner, so that deciding
never waits. A fork needs the history of its source: that is read beside the commands
(`source_reads`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.commands import MigrateWorkflow, StartWorkflow
from sayiir_es.core.model.events import WorkflowMigrated, WorkflowStarted
from sayiir_es.engine.commands.source_history import read_source

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sayiir_es.core.model.commands import Command, ForkWorkflow
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

    async def prefetch(self, command: Command) -> None:
        """Read the definition that `command` needs, if it is not known here.

        A workflow is called unknown only after the definitions were read to their end.

        Raises:
            LogError: if the log does not answer.
        """
        if isinstance(command, StartWorkflow):
            graph = self._registry.by_name(
                command.workflow, command.definition_hash, command.version
            )
            if graph is None:
                await self._refresh_definitions()
        elif isinstance(command, MigrateWorkflow):
            await self._refresh_definitions()  # the latest is the latest of now

    async def read_source(self, fork: ForkWorkflow) -> SourceHistory:
        """Read the history that a fork asks for, and the definitions that it needs.

        It waits as long as the log does not answer: its caller bounds it in time.

        Raises:
            LogError: if the definitions cannot be read.
        """
        source = await read_source(self._log, fork, self._limits.copied_bytes)
        if any(self._starts_unknown_graph(event.body) for event in source.events):
            await self._refresh_definitions()
        return source

    def _starts_unknown_graph(self, body: object) -> bool:
        return isinstance(body, WorkflowStarted | WorkflowMigrated) and (
            self._registry.by_digest(body.graph_digest) is None
        )
