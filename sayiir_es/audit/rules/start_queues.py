"""I26 at a start queue: no more permits in use than it allows, first come first served.

A start queue has a history as an instance has, under an id of its own, and no runs.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TypeAlias

from sayiir_es.audit.rules.sequence import check_time, is_in_history, next_sequence
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.model.events import CommandAcknowledged, CommandRejected, Event
from sayiir_es.core.model.permit_events import LimitSet
from sayiir_es.core.model.run_permit_events import (
    RunPermitGranted,
    RunPermitMessageSent,
    RunPermitQueued,
    RunPermitRefused,
    RunPermitReturned,
)

Asked: TypeAlias = tuple[str, int]
"""Who asked: the holder, and the number of the ask."""


@dataclass(slots=True)
class _Queue:
    """What stands in the history of one start queue so far."""

    sequence: int = 0
    limit: int = 0
    """What the workflow says whose run asked last."""
    set_most: int | None = None
    set_length: int | None = None
    """What was set in place of that."""
    in_use: set[Asked] = field(default_factory=set[Asked])
    waiting: OrderedDict[Asked, None] = field(
        default_factory=OrderedDict["Asked", None]
    )
    owed: set[tuple[str, Asked]] = field(default_factory=set["tuple[str, Asked]"])
    """Answers that are to be sent."""

    def most(self, limit: int) -> int:
        """How many permits may be in use, where the workflow says so many."""
        return limit if self.set_most is None else self.set_most


class StartQueueRules:
    """The start queues that live in one partition."""

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}

    def check(self, event: Event, *, begins: bool) -> None:
        """Check an event in the history of a start queue.

        Raises:
            BreachError: if it breaks an invariant.
        """
        if not is_in_history(event, what="a start queue"):
            return
        queue = self._queues.setdefault(event.instance_id, _Queue())
        queue.sequence = next_sequence(event, queue.sequence)
        _take(queue, event, begins=begins)


def _take(queue: _Queue, event: Event, *, begins: bool) -> None:
    body = event.body
    is_timer = begins and event.cause.startswith("timer:")
    match body:
        case RunPermitQueued():
            _wait(queue, body)
        case RunPermitGranted():
            if is_timer:
                check_time(event)
            _grant(queue, body, is_asked=begins and not is_timer)
        case RunPermitRefused():
            _refuse(queue, body)
        case RunPermitReturned():
            _return(queue, (body.holder, body.ask))
        case RunPermitMessageSent():
            _send(queue, body)
        case LimitSet():
            _set(queue, body)
        case CommandRejected() | CommandAcknowledged():
            pass
        case _:
            raise BreachError("I5", "an event of a start queue", event.kind)


def _check_unknown(queue: _Queue, asked: Asked) -> None:
    if asked in queue.in_use or asked in queue.waiting:
        raise BreachError("I26", f"one answer to the ask of {asked}", "a second one")


def _wait(queue: _Queue, body: RunPermitQueued) -> None:
    _check_unknown(queue, (body.holder, body.ask))
    if len(queue.in_use) < queue.most(body.limit) and not queue.waiting:
        raise BreachError("I26", "RunPermitGranted, as one is free", "RunPermitQueued")
    queue.waiting[body.holder, body.ask] = None
    queue.limit = body.limit


def _grant(queue: _Queue, body: RunPermitGranted, *, is_asked: bool) -> None:
    """An ask is answered at once, or who waits longest gets what is free."""
    asked = (body.holder, body.ask)
    if is_asked:
        _check_unknown(queue, asked)
        queue.limit = body.limit
    first = next(iter(queue.waiting), asked if is_asked else None)
    queue.waiting.pop(asked, None)
    if first != asked:
        raise BreachError("I26", f"{first} to be next", f"{asked}")
    if body.limit != queue.limit:
        raise BreachError("I26", f"the limit {queue.limit}", f"{body.limit}")
    queue.in_use.add(asked)
    queue.owed.add(("grant", asked))
    most = queue.most(body.limit)
    if len(queue.in_use) > most:
        raise BreachError(
            "I26", f"at most {most} permits in use", f"{len(queue.in_use)}"
        )


def _refuse(queue: _Queue, body: RunPermitRefused) -> None:
    asked = (body.holder, body.ask)
    _check_unknown(queue, asked)
    waiting, in_use = len(queue.waiting), len(queue.in_use)
    if queue.set_length not in (None, body.queue_length):
        raise BreachError(
            "I26", f"the length {queue.set_length}", f"{body.queue_length}"
        )
    if in_use < queue.most(body.limit) or waiting < body.queue_length:
        raise BreachError(
            "I26",
            f"room for a run, as {in_use} run and {waiting} wait",
            "RunPermitRefused",
        )
    queue.limit = body.limit
    queue.owed.add(("refusal", asked))


def _return(queue: _Queue, asked: Asked) -> None:
    if asked in queue.waiting:
        del queue.waiting[asked]
    elif asked in queue.in_use:
        queue.in_use.remove(asked)
    else:
        raise BreachError("I26", f"{asked} to wait, or to have a permit", "neither")
    queue.owed.discard(("grant", asked))


def _set(queue: _Queue, body: LimitSet) -> None:
    if body.max_concurrency is not None or body.rate is not None:
        raise BreachError(
            "I26",
            "max_running and queue_length of a start queue",
            f"max_concurrency {body.max_concurrency} and rate {body.rate!r}",
        )
    queue.set_most, queue.set_length = body.max_running, body.queue_length


def _send(queue: _Queue, body: RunPermitMessageSent) -> None:
    owed = (body.message, (body.other, body.ask))
    if owed not in queue.owed:
        raise BreachError("I26", "what is owed to be sent", f"{owed}")
    queue.owed.remove(owed)
