"""Slots: bounded, first by effective priority, and never lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from sayiir_es.engine.attempts.attempt import Attempt
from sayiir_es.engine.attempts.slot_queue import TOMBSTONES_FREE, SlotQueue

if TYPE_CHECKING:
    from sayiir_es.core.model.inputs import Outcome


class NoOwner:
    """The queue tells nobody of anything."""

    partition = 0

    def granted(self, attempt: Attempt) -> None:
        """Never called."""
        raise AssertionError(attempt)

    def room_freed(self) -> None:
        """Nothing waits here."""

    def reported(self, attempt: Attempt, outcome: Outcome) -> None:
        """Never called."""
        raise AssertionError(attempt, outcome)


def owed(name: str, *, priority: int = 3, queued_at_ms: int = 0) -> Attempt:
    return Attempt(
        instance_id=name,
        run=1,
        path="a",
        number=1,
        owner=NoOwner(),
        priority=priority,
        queued_at_ms=queued_at_ms,
    )


def granted(slots: SlotQueue) -> list[str]:
    names: list[str] = []
    while (attempt := slots.grant()) is not None:
        names.append(attempt.instance_id)
        slots.release()
    return names


def test_a_slot_is_reserved_only_when_free_and_nobody_waits() -> None:
    slots = SlotQueue(1, aging_interval_ms=1000)
    assert slots.reserve(owed("r"))
    assert not slots.reserve(owed("r"))
    slots.enqueue(owed("x"))
    slots.release()
    assert not slots.reserve(owed("r"))
    assert slots.grant() is not None
    assert slots.grant() is None


def test_the_better_priority_comes_first_and_equals_by_age() -> None:
    slots = SlotQueue(1, aging_interval_ms=10_000)
    slots.enqueue(owed("late", priority=3, queued_at_ms=50))
    slots.enqueue(owed("early", priority=3, queued_at_ms=10))
    slots.enqueue(owed("critical", priority=1, queued_at_ms=60))
    slots.enqueue(owed("minimal", priority=5, queued_at_ms=0))
    assert granted(slots) == ["critical", "early", "late", "minimal"]


def test_who_waited_long_enough_overtakes() -> None:
    slots = SlotQueue(1, aging_interval_ms=1000)
    slots.enqueue(owed("critical", priority=1, queued_at_ms=5000))
    slots.enqueue(owed("patient", priority=5, queued_at_ms=500))
    assert granted(slots) == ["patient", "critical"]


def test_an_aging_of_nothing_does_not_break_the_order() -> None:
    slots = SlotQueue(1, aging_interval_ms=0)
    slots.enqueue(owed("b", priority=2, queued_at_ms=100))
    slots.enqueue(owed("a", priority=1, queued_at_ms=100))
    assert granted(slots) == ["a", "b"]


def test_what_was_withdrawn_is_never_granted_and_takes_no_room() -> None:
    slots = SlotQueue(0, aging_interval_ms=1000)
    attempts = [owed(f"a{number}") for number in range(1000)]
    for one in attempts:
        slots.enqueue(one)
    for one in attempts[:-1]:
        assert slots.withdraw(one)
        assert not slots.withdraw(one)
    assert slots.queued == 1
    assert slots.held <= 2 + TOMBSTONES_FREE
    slots.release()
    assert granted(slots) == ["a999"]


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5000)), max_size=40),
    st.sets(st.integers(0, 39)),
)
def test_the_order_is_that_of_effective_priorities(
    drawn: list[tuple[int, int]], withdrawn: set[int]
) -> None:
    slots = SlotQueue(1, aging_interval_ms=1000)
    attempts = [
        owed(str(number), priority=priority, queued_at_ms=at_ms)
        for number, (priority, at_ms) in enumerate(drawn)
    ]
    for one in attempts:
        slots.enqueue(one)
    for number in withdrawn & set(range(len(attempts))):
        slots.withdraw(attempts[number])
    now = 10_000
    expected = sorted(
        (priority - (now - at_ms) / 1000, number)
        for number, (priority, at_ms) in enumerate(drawn)
        if number not in withdrawn
    )
    order = [drawn[int(name)] for name in granted(slots)]
    assert [p - (now - at) / 1000 for p, at in order] == [rank for rank, _ in expected]
