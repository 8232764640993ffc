"""I27: of a burst of starts only the last one is owed, once, not before its time."""

from __future__ import annotations

from dataclasses import dataclass, field

from sayiir_es.audit.rules.sequence import is_in_history, next_sequence
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.model.debounce_events import (
    DebouncedStartSent,
    DebounceElapsed,
    StartDebounced,
)
from sayiir_es.core.model.events import CommandAcknowledged, CommandRejected, Event


@dataclass(slots=True)
class _Key:
    """What stands in the history of one key so far."""

    sequence: int = 0
    waiting: StartDebounced | None = None
    owed: dict[int, str] = field(default_factory=dict[int, str])
    """Starts that are to be sent, by the sequence of their `DebounceElapsed`."""


class DebounceRules:
    """The keys under which starts are debounced in one partition."""

    def __init__(self) -> None:
        self._keys: dict[str, _Key] = {}

    def check(self, event: Event, *, begins: bool) -> None:
        """Check an event in the history of a key; each is a decision.

        Raises:
            BreachError: if it breaks an invariant.
        """
        if not is_in_history(event, what="a key"):
            return
        key = self._keys.setdefault(event.instance_id, _Key())
        key.sequence = next_sequence(event, key.sequence)
        if not begins:
            raise BreachError("I27", "one event in a decision", event.kind)
        _take(key, event)


def _take(key: _Key, event: Event) -> None:
    body = event.body
    match body:
        case StartDebounced():
            _wait(key, body, event.at)
        case DebounceElapsed():
            _elapse(key, body, event)
        case DebouncedStartSent():
            if key.owed.pop(body.elapsed, None) != body.start_id:
                raise BreachError("I27", "a start that is owed", body.start_id)
        case CommandRejected() | CommandAcknowledged():
            pass
        case _:
            raise BreachError("I5", "an event of a key", event.kind)


def _wait(key: _Key, body: StartDebounced, at: int) -> None:
    before = key.waiting
    expected = (at, None) if before is None else (before.first_at, before.start_id)
    if (body.first_at, body.replaced) != expected or body.due_at < at:
        raise BreachError(
            "I27",
            f"a burst and what is replaced {expected}, and a time from {at} on",
            f"{(body.first_at, body.replaced)}, until {body.due_at}",
        )
    key.waiting = body


def _elapse(key: _Key, body: DebounceElapsed, event: Event) -> None:
    waiting, key.waiting = key.waiting, None
    if waiting is None or waiting.start_id != body.start_id:
        raise BreachError("I27", "the start that waits", body.start_id)
    if event.cause != f"timer:@{waiting.due_at}" or event.at < waiting.due_at:
        raise BreachError(
            "I27", f"timer:@{waiting.due_at} as the cause", f"{event.cause}"
        )
    key.owed[event.sequence] = body.start_id
