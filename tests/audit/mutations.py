"""Changing a history: small edits of events that a checker must find."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sayiir_es.core.graph.graph import Graph
from tests.audit.instance_logs import (
    commands_of,
    events_of,
    records_of,
    renumbered,
    verified,
)
from tests.core.instance_runner import InstanceRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sayiir_es.audit import Violation
    from sayiir_es.core.graph.nodes import Node
    from sayiir_es.core.model.events import Body, Event
    from sayiir_es.log.port import Record
    from tests.core.instance_runner import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The events of a runner, to be changed; sequences are numbered anew."""

    runner: InstanceRunner
    events: tuple[Event, ...]
    commands: tuple[int, ...]

    @classmethod
    def of(cls, runner: InstanceRunner) -> History:
        """The history of a runner; it verifies clean."""
        events = tuple(events_of(runner))
        history = cls(runner=runner, events=events, commands=tuple(commands_of(events)))
        assert not history.violations()
        return history

    def at(self, kind: str, number: int = 0) -> int:
        """The offset of the event of a kind, the first one by default."""
        return [n for n, event in enumerate(self.events) if event.kind == kind][number]

    def changed(
        self, offset: int, body: Body | None = None, **common: object
    ) -> History:
        """With another body, or other common fields, at an offset."""
        event = self.events[offset]
        fields = {
            "claim": event.claim,
            "instance_id": event.instance_id,
            "run": event.run,
            "sequence": event.sequence,
            "at": event.at,
            "cause": event.cause,
            "body": body or event.body,
        } | common
        new_event: Event = type(event)(**fields)  # type: ignore[arg-type]  # names above
        return self._with(
            [*self.events[:offset], new_event, *self.events[offset + 1 :]]
        )

    def dropped(self, offset: int, count: int = 1) -> History:
        """Without some events; what follows moves up, and is numbered anew."""
        rest = [*self.events[:offset], *self.events[offset + count :]]
        return self._with(renumbered(rest))

    def added(self, offset: int, *bodies: Body, cause: str | None = None) -> History:
        """With more events at an offset, of the instance and time of the one before."""
        before = self.events[offset - 1]
        more = [
            replace(before, body=body, cause=before.cause if cause is None else cause)
            for body in bodies
        ]
        whole = [*self.events[:offset], *more, *self.events[offset:]]
        return self._with(renumbered(whole))

    def swapped(self, one: int, other: int) -> History:
        """With two events in each other's place, but for their numbers and times."""
        events = list(self.events)
        events[one], events[other] = (
            replace(events[other], at=events[one].at),
            replace(events[one], at=events[other].at),
        )
        return self._with(renumbered(events))

    def kept(self, count: int) -> History:
        """Only the first events."""
        return self._with(self.events[:count])

    def violations(
        self, edit: Callable[[list[Record]], None] | None = None
    ) -> list[Violation]:
        """What a checker says; `edit` may change the records before."""
        records = records_of(self.events)
        if edit is not None:
            edit(records)
        return verified(records, self.runner.graph, self.commands)

    def must_break(self, invariant: str, offset: int, instance_id: str = "i") -> None:
        """The first violation is that one, there."""
        check_first(self.violations(), invariant, offset, instance_id)

    def _with(self, events: Sequence[Event]) -> History:
        return replace(self, events=tuple(events))


def check_first(
    violations: Sequence[Violation], invariant: str, offset: int, instance_id: str = "i"
) -> None:
    """The first of the violations found is that one, there."""
    assert violations, f"expected a violation of {invariant}, but all holds"
    first = violations[0]
    seen = (first.invariant, first.partition, first.offset, first.instance_id)
    assert seen == (invariant, 0, offset, instance_id), violations[0]


def history(*chain: Node, tasks: dict[str, Task] | None = None) -> History:
    """A whole run of a chain."""
    runner = InstanceRunner(Graph(name="w", chain=chain), tasks=tasks or {})
    runner.start(b'"in"')
    runner.run()
    return History.of(runner)


def body_at(history: History, kind: str, number: int = 0) -> tuple[int, Body]:
    """The offset and the body of the event of a kind."""
    at = history.at(kind, number)
    return at, history.events[at].body
