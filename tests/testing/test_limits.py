"""Scenarios of workflows under a limit: crashes lose no permit and double none."""

from __future__ import annotations

from sayiir_es import Flow, RetryPolicy, task
from sayiir_es.testing import given


@task(concurrency_key="k:{workflow_input}", max_concurrency=1)
def first(value: int) -> int:
    return value


@task(
    concurrency_key="k:{workflow_input}",
    max_concurrency=1,
    timeout="1m",
    retries=RetryPolicy(max_retries=1, initial_delay_secs=5),
)
def second(value: int) -> int:
    return value


def both(values: dict[str, int]) -> list[str]:
    return sorted(values)


LIMITED = (
    Flow("limited")
    .fork()
    .branch(first, name="x")
    .branch(second, name="y")
    .join(both)
    .build()
)


def test_a_crash_behind_any_event_of_a_limit_changes_nothing() -> None:
    scenario = given(LIMITED, 3).to_the_end()
    assert scenario.result.output == ["x", "y"]
    assert scenario.survives_crashes() > 15


def test_a_pause_and_a_crash_in_the_middle_change_nothing() -> None:
    scenario = (
        given(LIMITED, 3)
        .until_running("y")
        .crash()
        .pause()
        .after("1h")
        .unpause()
        .to_the_end()
    )
    assert scenario.result.output == ["x", "y"]


@task(concurrency_key="rated", rate="1/h")
def third(value: int) -> int:
    return value


@task(concurrency_key="rated", rate="1/h")
def fourth(value: int) -> int:
    return value


RATED = (
    Flow("rated")
    .fork()
    .branch(third, name="x")
    .branch(fourth, name="y")
    .join(both)
    .build()
)


def test_a_crash_behind_any_event_of_a_rate_changes_nothing() -> None:
    """The second attempt begins an hour later, whoever owns the limit by then."""
    scenario = given(RATED, 3).to_the_end()
    assert scenario.result.output == ["x", "y"]
    assert scenario.survives_crashes() > 8
