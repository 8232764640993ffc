"""I8–I10: a lie about attempts, deadlines and timers is found where it is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sayiir_es.core.graph.nodes import Retry, TaskNode
from sayiir_es.core.model.events import (
    AttemptRestarted,
    AttemptWithdrawn,
    DeadlineCleared,
    DeadlineSet,
    DelayStarted,
    OutcomeRejected,
    PositionUpdated,
    RetryRecorded,
    TaskCompleted,
)
from tests.audit.mutations import History, body_at, history


def fails_once(data: bytes, attempt: int, /) -> bytes | str:
    return "no" if attempt == 1 else data


# --- I8 and I9: attempts --------------------------------------------------------------


@pytest.fixture
def retried() -> History:
    node = TaskNode(
        id="a", timeout_ms=5_000, retry=Retry(max_retries=1, initial_delay_ms=500)
    )
    return history(node, TaskNode(id="b"), tasks={"a": fails_once})


def test_a_result_that_comes_twice_is_found(retried: History) -> None:
    at, body = body_at(retried, "TaskCompleted")
    changed = retried.added(at + 2, body)
    changed.must_break("I8", at + 2)


def test_a_result_of_another_attempt_is_found(retried: History) -> None:
    at, body = body_at(retried, "TaskCompleted")
    assert isinstance(body, TaskCompleted)
    cause = "outcome:a#1"
    retried.changed(at, replace(body, attempt=1), cause=cause).must_break("I8", at)


def test_a_result_that_its_cause_denies_is_found(retried: History) -> None:
    at, _ = body_at(retried, "TaskCompleted")
    retried.changed(at, cause="outcome:a#1").must_break("I8", at)


def test_an_outcome_that_was_due_and_rejected_is_found(retried: History) -> None:
    at, _ = body_at(retried, "TaskCompleted")
    lie = OutcomeRejected(path="a", attempt=2, reason="late")
    retried.changed(at, lie).must_break("I8", at)


def test_a_skipped_attempt_is_found(retried: History) -> None:
    at, body = body_at(retried, "DeadlineSet", 1)
    assert isinstance(body, DeadlineSet)
    retried.changed(at, replace(body, attempt=3)).must_break("I10", at)
    at, body = body_at(retried, "RetryRecorded")
    assert isinstance(body, RetryRecorded)
    changed = retried.changed(at, replace(body, attempt=2), cause="outcome:a#2")
    changed.must_break("I9", at)


def test_a_first_attempt_that_is_not_the_first_is_found(retried: History) -> None:
    at, body = body_at(retried, "PositionUpdated", 1)
    assert isinstance(body, PositionUpdated)
    retried.changed(at, replace(body, attempt=2)).must_break("I9", at)


def test_a_retry_that_the_policy_does_not_allow_is_found(retried: History) -> None:
    at, body = body_at(retried, "TaskCompleted")
    event = retried.events[at]
    lie = RetryRecorded(
        path="a",
        attempt=2,
        error_type="E",
        error="e",
        timed_out=False,
        next_retry_at=event.at + 1_000,
        worker="w",
    )
    assert isinstance(body, TaskCompleted)
    retried.changed(at, lie).must_break("I9", at)


@pytest.mark.parametrize("early_ms", [1, -1])
def test_a_retry_at_another_time_is_found(retried: History, early_ms: int) -> None:
    at, body = body_at(retried, "RetryRecorded")
    assert isinstance(body, RetryRecorded)
    lie = replace(body, next_retry_at=body.next_retry_at - early_ms)
    retried.changed(at, lie).must_break("I9", at)


def test_a_result_before_its_backoff_is_over_is_found() -> None:
    node = TaskNode(id="a", retry=Retry(max_retries=1, initial_delay_ms=500))
    original = history(node, tasks={"a": fails_once})
    at = original.at("TaskCompleted")
    original.changed(at, at=original.events[at - 1].at).must_break("I8", at)


def test_a_restart_that_is_not_the_next_is_found(retried: History) -> None:
    at = retried.at("DeadlineSet")
    lie = AttemptRestarted(path="a", attempt=1, restarts=2)
    retried.added(at, lie, cause="owed:2").must_break("I9", at)


@pytest.mark.parametrize(("restarts", "breaks"), [(0, False), (1, False), (2, True)])
def test_a_restart_of_what_was_withdrawn_need_not_count(
    restarts: int, *, breaks: bool
) -> None:
    found = history(TaskNode(id="a"))
    at = found.at("TaskCompleted")
    withdrawn = AttemptWithdrawn(path="a", attempt=1)
    restarted = AttemptRestarted(path="a", attempt=1, restarts=restarts)
    changed = found.added(at, withdrawn, cause="outcome:a#1")
    changed = changed.added(at + 1, restarted, cause="owed:2")
    if breaks:
        changed.must_break("I9", at + 1)
    else:
        assert changed.violations() == []


def test_an_attempt_that_is_withdrawn_twice_is_found() -> None:
    original = history(TaskNode(id="a"))
    at = original.at("TaskCompleted")
    lie = AttemptWithdrawn(path="a", attempt=1)
    original.added(at, lie, lie, cause="outcome:a#1").must_break("I9", at + 1)


# --- I10: deadlines and timers --------------------------------------------------------


def test_a_deadline_that_is_missing_or_set_twice_is_found(retried: History) -> None:
    at, body = body_at(retried, "DeadlineSet", 1)
    retried.dropped(at).must_break("I10", at)
    retried.added(at + 1, body).must_break("I10", at + 1)


@pytest.mark.parametrize("field", ["deadline_at", "timeout_ms"])
def test_another_deadline_is_found(retried: History, field: str) -> None:
    at, body = body_at(retried, "DeadlineSet")
    assert isinstance(body, DeadlineSet)
    lie = {
        "deadline_at": replace(body, deadline_at=body.deadline_at + 1),
        "timeout_ms": replace(body, timeout_ms=body.timeout_ms + 1),
    }[field]
    retried.changed(at, lie).must_break("I10", at)


def test_a_deadline_that_is_cleared_and_was_not_set_is_found() -> None:
    original = history(TaskNode(id="a"))
    at = original.at("TaskCompleted")
    lies = (
        AttemptWithdrawn(path="a", attempt=1),
        DeadlineCleared(path="a", attempt=1),
    )
    original.added(at, *lies, cause="outcome:a#1").must_break("I10", at + 1)


def test_a_time_out_before_the_deadline_is_found(retried: History) -> None:
    at, body = body_at(retried, "RetryRecorded")
    assert isinstance(body, RetryRecorded)
    deadline = retried.events[at - 1].body
    assert isinstance(deadline, DeadlineSet)
    lie = replace(body, timed_out=True)
    cause = f"timer:a@{deadline.deadline_at}"
    retried.changed(at, lie, cause=cause).must_break("I10", at)
    retried.changed(at, lie).must_break("I10", at)


def test_a_delay_that_ends_early_twice_or_by_another_timer_is_found(
    slept: History,
) -> None:
    at, body = body_at(slept, "DelayElapsed")
    early = slept.changed(at, at=slept.events[at].at - 1)
    early.must_break("I10", at)
    slept.added(at + 1, body).must_break("I10", at + 1)
    slept.changed(at, cause="timer:d@1").must_break("I10", at)


def test_a_delay_of_another_length_is_found(slept: History) -> None:
    at, body = body_at(slept, "DelayStarted")
    assert isinstance(body, DelayStarted)
    slept.changed(at, replace(body, due_at=body.due_at - 1)).must_break("I10", at)


def test_an_attempt_that_begins_for_another_reason_is_found(retried: History) -> None:
    at = retried.at("DeadlineSet", 1)
    retried.changed(at, cause="owed:2").must_break("I9", at)
