"""I24 at a limit: no more permits in use than it allows, and first come, first served.

And no more granted in a time than its rate allows. A limit has a history as an instance
has, under an id of its own, and no runs. The tokens that its bucket lacks are counted
here as fractions: whoever grants counts whole microseconds, and never earlier.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

from sayiir_es.audit.rules.sequence import check_time, is_in_history, next_sequence
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.model.events import CommandAcknowledged, CommandRejected, Event
from sayiir_es.core.model.permit_events import (
    LimitSet,
    PermitGranted,
    PermitQueued,
    PermitReturned,
)
from sayiir_es.core.model.rates import Rate, parse_rate

Asked: TypeAlias = tuple[str, str, int]
"""Who asked: holder, path, and the number of the ask."""


@dataclass(slots=True)
class _Limit:
    """What stands in the history of one limit so far."""

    sequence: int = 0
    in_use: dict[int, Asked] = field(default_factory=dict[int, Asked])
    asked: set[Asked] = field(default_factory=set[Asked])
    """Who waits, or has a permit."""
    queue: deque[tuple[Asked, int, str | None]] = field(
        default_factory=deque[tuple[Asked, int, str | None]]
    )
    """Who waits, with the limit and the rate of its task."""
    set_most: int | None = None
    set_rate: str | None = None
    named_rate: str | None = None
    """What the last task has said that names one."""
    lacking: Fraction = Fraction(0)
    """How many tokens the bucket lacks, at `lacking_at`."""
    lacking_at: int = 0

    def most(self, limit: int) -> int | None:
        """How many permits may be in use, for a task that says so; None: any number."""
        return (limit or None) if self.set_most is None else self.set_most

    @property
    def rate(self) -> Rate | None:
        """The rate in force."""
        text = self.named_rate if self.set_rate is None else self.set_rate
        return None if text is None else parse_rate(text)

    def refill(self, at: int) -> None:
        """Let the tokens come back that have since the last event."""
        rate = self.rate
        if rate is not None:
            back = Fraction((at - self.lacking_at) * rate.count, rate.period_ms)
            self.lacking = max(Fraction(0), self.lacking - back)
        else:
            self.lacking = Fraction(0)
        self.lacking_at = at


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
        if not is_in_history(event, what="a limit"):
            return
        limit = self._limits.setdefault(event.instance_id, _Limit())
        limit.sequence = next_sequence(event, limit.sequence)
        limit.refill(event.at)
        is_asked = begins and not event.cause.startswith("timer:")
        match body:
            case PermitQueued():
                _queue(limit, body)
            case PermitGranted():
                if begins and not is_asked:
                    check_time(event)
                _grant(limit, body, event.sequence, is_asked=is_asked)
            case PermitReturned():
                _return(limit, body)
            case LimitSet():
                _check_rate(body.rate)
                if body.max_running is not None or body.queue_length is not None:
                    raise BreachError(
                        "I24",
                        "max_concurrency and rate of a limit",
                        f"max_running {body.max_running} and queue_length "
                        f"{body.queue_length}",
                    )
                limit.set_most, limit.set_rate = body.max_concurrency, body.rate
            case CommandRejected() | CommandAcknowledged():
                pass
            case _:
                raise BreachError("I5", "an event of a limit", event.kind)


def _queue(limit: _Limit, body: PermitQueued) -> None:
    asked = _ask(limit, body)
    most, is_rated = limit.most(body.limit), _is_rated(limit, body.rate)
    is_free = most is None or len(limit.in_use) < most
    if is_free and not limit.queue and not (is_rated and limit.lacking):
        raise BreachError(
            "I24",
            f"PermitGranted, as {len(limit.in_use)} of {most or 'any'} are in use",
            "PermitQueued",
        )
    limit.queue.append((asked, body.limit, body.rate))


def _grant(limit: _Limit, body: PermitGranted, permit: int, *, is_asked: bool) -> None:
    """An ask is answered at once, or who waits longest gets what was returned."""
    if is_asked:
        asked = _ask(limit, body)
        if limit.queue:
            raise BreachError("I24", f"{limit.queue[0][0]} to be next", f"{asked}")
    else:
        asked = (body.holder, body.path, body.ask)
        first = limit.queue.popleft() if limit.queue else None
        if first != (asked, body.limit, body.rate):
            raise BreachError(
                "I24", f"{first and first[0]} to be next, as it asked", f"{asked}"
            )
    limit.in_use[permit] = asked
    most, rate = limit.most(body.limit), limit.rate
    if most is not None and len(limit.in_use) > most:
        raise BreachError(
            "I24", f"at most {most} permits in use", f"{len(limit.in_use)}"
        )
    if rate is not None and _is_rated(limit, body.rate):
        limit.lacking += 1
        if limit.lacking > rate.burst:
            raise BreachError(
                "I24",
                f"at most {rate.burst} tokens taken at once, of {rate.count} in "
                f"{rate.period_ms} ms",
                f"{float(limit.lacking):.6g}",
            )


def _return(limit: _Limit, body: PermitReturned) -> None:
    asked = limit.in_use.pop(body.permit, None)
    if asked is None:
        raise BreachError("I24", f"permit {body.permit} in use", "it is not")
    limit.asked.discard(asked)


def _is_rated(limit: _Limit, rate: str | None) -> bool:
    return rate is not None or limit.set_rate is not None


def _ask(limit: _Limit, body: PermitQueued | PermitGranted) -> Asked:
    asked = (body.holder, body.path, body.ask)
    if asked in limit.asked:
        raise BreachError("I24", f"one answer to the ask of {asked}", "a second one")
    limit.asked.add(asked)
    if body.rate is not None:
        _check_rate(body.rate)
        limit.named_rate = body.rate
    return asked


def _check_rate(rate: str | None) -> None:
    try:
        if rate is not None:
            parse_rate(rate)
    except ValueError as error:
        raise BreachError("I24", "a rate", f"{rate!r}") from error
