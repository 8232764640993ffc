"""I27: a history in which another start of a burst is owed, or too early, is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sayiir_es.audit.rules.debounces import DebounceRules
from sayiir_es.audit.violation import BreachError
from sayiir_es.core.model.debounce_events import (
    DebouncedStartSent,
    DebounceElapsed,
    DebounceEvent,
    StartDebounced,
    debounce_id,
)
from sayiir_es.core.model.events import Event, PartitionClaimed


def waits(
    start_id: str, at: int, replaced: str | None = None, first_at: int | None = None
) -> Event:
    return event_of(
        StartDebounced(
            command_id=start_id,
            start_id=start_id,
            workflow="w",
            input=b"1",
            first_at=at if first_at is None else first_at,
            due_at=at + 5,
            replaced=replaced,
            definition_hash=None,
            conflict_policy="fail",
            attributes={},
            version=None,
            traceparent=None,
        ),
        at,
    )


def elapsed(start_id: str, at: int, due_at: int | None = None) -> Event:
    due_at = at if due_at is None else due_at
    return event_of(DebounceElapsed(start_id=start_id), at, cause=f"timer:@{due_at}")


def sent(start_id: str, number: int) -> Event:
    return event_of(DebouncedStartSent(start_id=start_id, elapsed=number), 99)


def event_of(body: DebounceEvent, at: int, cause: str = "") -> Event:
    return Event(
        claim=0,
        instance_id=debounce_id("w"),
        run=0,
        sequence=0,
        at=at,
        cause=cause,
        body=body,
    )


CLEAN = (
    waits("a", 1),
    waits("b", 3, "a", 1),
    elapsed("b", 8),
    waits("c", 9),
    sent("b", 3),
    elapsed("c", 20, 14),
    sent("c", 6),
)


def check(*events: Event) -> None:
    """Hold the history of one key to its rules."""
    rules = DebounceRules()
    for sequence, event in enumerate(events, 1):
        rules.check(replace(event, sequence=sequence), begins=True)


def test_a_clean_history_of_a_key_breaks_nothing() -> None:
    check(*CLEAN)


@pytest.mark.parametrize(
    "history",
    [
        (waits("a", 1), waits("b", 3)),
        (waits("a", 1), waits("b", 3, "x", 1)),
        (waits("a", 1), waits("b", 3, "a", 2)),
        (waits("a", 1, "x"),),
        (elapsed("a", 1),),
        (waits("a", 1), elapsed("b", 6)),
        (waits("a", 1), elapsed("a", 5, 6)),
        (waits("a", 1), elapsed("a", 7)),
        (waits("a", 1), waits("b", 3, "a", 1), elapsed("a", 8)),
        (waits("a", 1), elapsed("a", 6), elapsed("a", 6)),
        (waits("a", 1), sent("a", 1)),
        (waits("a", 1), elapsed("a", 6), sent("b", 2)),
        (waits("a", 1), elapsed("a", 6), sent("a", 2), sent("a", 2)),
    ],
)
def test_a_burst_that_is_not_kept_is_found(history: tuple[Event, ...]) -> None:
    with pytest.raises(BreachError) as breach:
        check(*history)
    assert breach.value.invariant == "I27"


def test_what_is_no_event_of_a_key_is_found() -> None:
    first = replace(waits("a", 1), sequence=1)
    claimed = PartitionClaimed(owner="w", build="b", next_command=0)
    for event, invariant, begins in (
        (replace(first, body=claimed), "I5", True),
        (replace(first, sequence=2), "I1", True),
        (replace(first, sequence=0), "I1", True),
        (replace(first, run=1), "I7", True),
        (first, "I27", False),
    ):
        with pytest.raises(BreachError) as breach:
            DebounceRules().check(event, begins=begins)
        assert breach.value.invariant == invariant
