"""A history with what belongs together as one entry: an attempt from due to outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from sayiir_es.core.model import events as e
from sayiir_es.core.model.attempt_events import AttemptPublished

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sayiir_es.engine.valid_events import FoundEvent

GroupState: TypeAlias = Literal[
    "open", "done", "failed", "retried", "rejected", "other"
]

_JOINS = (
    e.DeadlineSet,
    e.DeadlineCleared,
    e.AttemptRestarted,
    AttemptPublished,
    e.AttemptWithdrawn,
)
_OPENS = (e.PositionUpdated, e.DelayStarted, e.SignalAwaited)
_CLOSES: dict[type, GroupState] = {
    e.TaskCompleted: "done",
    e.RouteChosen: "done",
    e.RetryRecorded: "retried",
    e.TaskFailed: "failed",
    e.DelayElapsed: "done",
    e.SignalConsumed: "done",
    e.SignalTimedOut: "done",
}
_BAD = ("Rejected", "Failed", "Quarantined")


@dataclass(slots=True, kw_only=True)
class EventGroup:
    """Events of one attempt, delay or wait; of anything else one event."""

    title: str
    path: str = ""
    attempt: int = 0
    state: GroupState = "other"
    events: list[FoundEvent] = field(default_factory=list["FoundEvent"])

    @property
    def first(self) -> FoundEvent:
        """The event that it began with."""
        return self.events[0]

    @property
    def last(self) -> FoundEvent:
        """The last event so far."""
        return self.events[-1]


def grouped(entries: Iterable[FoundEvent]) -> list[EventGroup]:
    """The groups of a history, in the order in which they began."""
    groups: list[EventGroup] = []
    open_groups: dict[tuple[str, int], EventGroup] = {}
    for entry in entries:
        body = entry.event.body
        path = str(getattr(body, "path", ""))
        attempt = int(getattr(body, "attempt", 0))
        key = (path, attempt)
        group = None
        if isinstance(body, _OPENS):
            group = None
        elif isinstance(body, (*_JOINS, *_CLOSES)):
            group = open_groups.get(key) or _of_route(open_groups, body)
        if group is None:
            group = EventGroup(title=entry.event.kind, path=path, attempt=attempt)
            groups.append(group)
            if isinstance(body, (*_OPENS, *_JOINS)):
                group.title, group.state = _title(body), "open"
                open_groups[key] = group
        group.events.append(entry)
        state = _CLOSES.get(type(body))
        if state is not None:
            group.title, group.state = _title(body), state
            if isinstance(body, e.SignalTimedOut) and body.error:
                group.state = "failed"
            open_groups.pop((group.path, group.attempt), None)
        elif group.state == "other" and entry.event.kind.endswith(_BAD):
            is_rejected = entry.event.kind.endswith("Rejected")
            group.state = "rejected" if is_rejected else "failed"
    return groups


def _of_route(
    open_groups: dict[tuple[str, int], EventGroup], body: object
) -> EventGroup | None:
    """The key function's attempt: the choice that ends it does not say which."""
    if isinstance(body, e.RouteChosen):
        return open_groups.get((body.path, 1))
    return None


def _title(body: object) -> str:
    match body:
        case e.DelayStarted() | e.DelayElapsed():
            return "Delay"
        case e.SignalAwaited() | e.SignalConsumed() | e.SignalTimedOut():
            return "Signal"
        case e.RouteChosen():
            return "Route"
        case _:
            return "Attempt"
