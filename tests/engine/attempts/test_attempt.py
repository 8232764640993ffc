"""The states of an attempt: the table says all that may follow one another."""

from __future__ import annotations

import pytest

from sayiir_es.engine.attempts.attempt import TRANSITIONS, State
from tests.engine.attempts.test_slot_queue import owed


def test_every_state_has_its_row_and_is_reached_from_the_first() -> None:
    assert set(TRANSITIONS) == set(State)
    reached, waiting = set[State](), [State.OWED]
    while waiting:
        state = waiting.pop()
        if state not in reached:
            reached.add(state)
            waiting += TRANSITIONS[state]
    assert reached == set(State)


def test_from_every_state_before_its_report_an_attempt_can_be_withdrawn() -> None:
    for state in (State.OWED, State.QUEUED, State.GRANTED, State.RUNNING):
        assert State.WITHDRAWN in TRANSITIONS[state]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("wanted", State)
def test_an_attempt_moves_as_the_table_says_and_not_otherwise(
    state: State, wanted: State
) -> None:
    attempt = owed("i")
    attempt.state = state
    if wanted in TRANSITIONS[state]:
        attempt.move(wanted)
        assert attempt.state is wanted
    else:
        with pytest.raises(AssertionError):
            attempt.move(wanted)
        assert attempt.state is state
