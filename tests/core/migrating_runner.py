"""An instance that migrates, and is held to the rules of the checker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.commands import MigrateWorkflow, SendSignal
from sayiir_es.core.model.events import CommandRejected
from sayiir_es.core.model.inputs import Commanded
from sayiir_es.core.model.position import CommandPosition
from tests.audit.instance_logs import commands_of, events_of, records_of, verified
from tests.core.instance_runner import InstanceRunner

if TYPE_CHECKING:
    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.core.model.events import Event


class Runner(InstanceRunner):
    """An instance of which some attempts run."""

    running: frozenset[str] = frozenset()

    def migrate(self, to: Graph | str, **mapping: str) -> list[Event]:
        """A migrate, with the paths that have moved."""
        return self.migrate_by(to, mapping)

    def migrate_by(self, to: Graph | str, mapping: dict[str, str]) -> list[Event]:
        """The same, with paths that are no names."""
        offset = self.commands
        self.commands += 1
        command = MigrateWorkflow(
            instance_id="i",
            command_id=f"m{offset}",
            to=to if isinstance(to, str) else to.digest,
            mapping=mapping,
            reason="deploy",
            requested_by="ana",
        )
        position = CommandPosition(partition=0, offset=offset)
        return self.decide(
            Commanded(command=command, position=position, running=self.running)
        )

    def signal(self) -> None:
        """The signal `ok`."""
        self.command(
            SendSignal(instance_id="i", command_id="", signal="ok", payload=b'"s"')
        )

    def check(self) -> None:
        """Hold the history to every rule of the checker."""
        events = events_of(self)
        commands = commands_of(events)
        found = verified(records_of(events), self.graph, commands, self.others)
        assert found == []


def refused(events: list[Event]) -> tuple[str, str]:
    """The code and the text of the only answer."""
    (event,) = events
    assert isinstance(event.body, CommandRejected)
    return event.body.code, event.body.message
