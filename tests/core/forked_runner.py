"""Forks: instance `i` of a runner begins with the events of another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.commands import ForkWorkflow
from sayiir_es.core.model.inputs import Commanded, SourceHistory
from sayiir_es.core.model.position import CommandPosition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.model.events import Event
    from tests.core.instance_runner import InstanceRunner


def fork(
    runner: InstanceRunner,
    source: Sequence[Event],
    sequence: int,
    *,
    command_id: str = "",
) -> list[Event]:
    """The decision on a fork of a history at a sequence, by the next command."""
    offset = runner.commands
    runner.commands += 1
    copied = [event for event in source if 0 < event.sequence <= sequence]
    return runner.decide(
        Commanded(
            command=ForkWorkflow(
                instance_id="i",
                command_id=command_id or f"0@{offset}",
                source_instance_id="s",
                source_sequence=sequence,
            ),
            position=CommandPosition(partition=0, offset=offset),
            source=SourceHistory(events=tuple(copied)),
        )
    )
