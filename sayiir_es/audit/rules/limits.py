"""I24 at a limit: no more permits in use than it allows, and first come, first served.

A limit has a history as an instance has, under an id of its own, and no runs.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

from sayiir_es.audit.violation import BreachError
from sayiir_es.core.model.events import CommandAcknowledged, CommandRejected, Event
from sayiir_es.core.model.permit_events import (
    PermitGranted,
    PermitQueued,
    PermitReturned,
)

Asked: TypeAlias = tuple[str, str, int]
"""Who asked: holder, path, and the number of the ask."""


@dataclass(slots=True)
class _Limit:
    """What stands in the history of one limit so far."""

    sequence: int = 0
    in_use: dict[int, Asked] = field(default_factory=dict[int, Asked])
    asked: set[Asked] = field(default_factory=set[Asked])
    """Who waits, or has a permit."""
    queue: deque[Asked] = field(default_factory=deque[Asked])


class LimitRules:
    """The limits that live in one partition."""

    def __init__(self) -> None:
        self._limits: dict[str, _Limit] = {}

    def check(self, event: Event, *, begins: bool) -> None:
        """Check an event in the history of a limit.

        Raises:
            BreachError: if it breaks an invariant.
        """
        body = event.body
        if event.run:
            raise BreachError("I7", "no run of a limit", f"run {event.run}")
        if not event.sequence:
            if not isinstance(body, CommandRejected | CommandAcknowledged):
                raise BreachError("I1", f"a sequence of {event.kind} from 1", "0")
            return
        limit = self._limits.setdefault(event.instance_id, _Limit())
        expected, limit.sequence = limit.sequence + 1, event.sequence
        if event.sequence != expected:
            raise BreachError(
                "I1", f"sequence {expected}", f"{event.kind} with {event.sequence}"
            )
        match body:
            case PermitQueued():
                _queue(limit, body)
            case PermitGranted():
                _grant(limit, body, event.sequence, is_asked=begins)
            case PermitReturned():
                asked = limit.in_use.pop(body.permit, None)
                if asked is None:
                    raise BreachError(
                        "I24", f"permit {body.permit} in use", "it is not"
                    )
                limit.asked.discard(asked)
            case CommandRejected() | CommandAcknowledged():
                pass
            case _:
                raise BreachError("I5", "an event of a limit", event.kind)


def _queue(limit: _Limit, body: PermitQueued) -> None:
    asked = _ask(limit, body)
    if len(limit.in_use) < body.limit and not limit.queue:
        raise BreachError(
            "I24",
            f"PermitGranted, as {len(limit.in_use)} of {body.limit} are in use",
            "PermitQueued",
        )
    limit.queue.append(asked)


def _grant(limit: _Limit, body: PermitGranted, permit: int, *, is_asked: bool) -> None:
    """An ask is answered at once, or who waits longest gets what was returned."""
    if is_asked:
        asked = _ask(limit, body)
        if limit.queue:
            raise BreachError("I24", f"{limit.queue[0]} to be next", f"{asked}")
    else:
        asked = (body.holder, body.path, body.ask)
        first = limit.queue.popleft() if limit.queue else None
        if first != asked:
            raise BreachError("I24", f"{first} to be next", f"{asked}")
    limit.in_use[permit] = asked
    if len(limit.in_use) > body.limit:
        raise BreachError(
            "I24", f"at most {body.limit} permits in use", f"{len(limit.in_use)}"
        )


def _ask(limit: _Limit, body: PermitQueued | PermitGranted) -> Asked:
    asked = (body.holder, body.path, body.ask)
    if asked in limit.asked:
        raise BreachError("I24", f"one answer to the ask of {asked}", "a second one")
    limit.asked.add(asked)
    return asked
