"""I1 and I7 where there are no runs: of a limit, a start queue, a debounce key."""

from __future__ import annotations

from sayiir_es.audit.violation import BreachError
from sayiir_es.core.model.events import CommandAcknowledged, CommandRejected, Event


def is_in_history(event: Event, *, what: str) -> bool:
    """Whether the event stands in the history of `what`, or only answers a command.

    Raises:
        BreachError: if it names a run, or has no sequence and is no answer.
    """
    if event.run:
        raise BreachError("I7", f"no run of {what}", f"run {event.run}")
    is_answer = isinstance(event.body, CommandRejected | CommandAcknowledged)
    if not event.sequence and not is_answer:
        raise BreachError("I1", f"a sequence of {event.kind} from 1", "0")
    return event.sequence > 0


def next_sequence(event: Event, last: int) -> int:
    """The sequence of the event, the one behind `last`.

    Raises:
        BreachError: if it is another.
    """
    if event.sequence != last + 1:
        raise BreachError(
            "I1", f"sequence {last + 1}", f"{event.kind} with {event.sequence}"
        )
    return event.sequence


def check_time(event: Event) -> None:
    """Check that the timer which caused an event of such a history was due.

    Raises:
        BreachError: if it was not.
    """
    due_at = event.cause.removeprefix("timer:@")
    if not due_at.isdecimal() or int(due_at) > event.at:
        raise BreachError("I10", "a timer that is due", f"{event.cause!r}")
