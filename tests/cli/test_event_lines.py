"""An event as people read it: nothing that a user's value says is left out."""

from __future__ import annotations

import pytest

from sayiir_es.operations.event_fields import details_of

NOON = 1_767_268_800_000
DAY = 24 * 3600 * 1000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0, "0"), (False, "false"), (None, "null"), ("", '""')),
        *(([], "[]"), ({}, "{}"), ("text", "text")),
    ],
)
def test_values_that_say_no_are_shown_as_well(value: object, text: str) -> None:
    assert details_of({"output": value, "loop": "none"}) == f"output={text}"


def test_the_first_iteration_is_a_number() -> None:
    fields = {"iteration": 0, "timed_out": False, "reason": None}
    assert details_of(fields) == "iteration=0"


def test_a_time_on_another_day_is_shown_with_its_date() -> None:
    assert details_of({"at": NOON, "due_at": NOON}) == "due_at=12:00:00.000Z"
    later = details_of({"at": NOON, "due_at": NOON + DAY})
    assert later == "due_at=2026-01-02 12:00:00.000Z"
