"""Tasks: attempts, retries, deadlines, tokens, and lost owners."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayiir_es.core.backoff import retry_delay_ms
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import Retry, TaskNode
from sayiir_es.core.model.commands import RetryWorkflow
from sayiir_es.core.model.events import (
    AttemptRestarted,
    DeadlineSet,
    OutcomeRejected,
    RetryRecorded,
    TaskFailed,
    WorkflowFailed,
)
from sayiir_es.core.model.inputs import Outcome, TimerDue
from sayiir_es.core.model.limits import clip
from tests.core.instance_runner import InstanceRunner

RETRY = Retry(max_retries=2, initial_delay_ms=500, backoff_multiplier=2.0)


def runner_of(node: TaskNode) -> InstanceRunner:
    return InstanceRunner(Graph(name="w", chain=(node,)))


def outcome(**fields: object) -> Outcome:
    defaults: dict[str, object] = {
        "instance_id": "i",
        "run": 1,
        "path": "a",
        "attempt": 1,
        "result": "completed",
        "output": b"9",
    }
    return Outcome(**(defaults | fields))  # type: ignore[arg-type]


def test_retries_back_off_and_then_the_workflow_fails() -> None:
    runner = runner_of(TaskNode(id="a", retry=RETRY))
    runner.tasks["a"] = lambda _data, attempt: f"no {attempt}"
    runner.start()
    runner.run()
    assert runner.executions == [("a", 1), ("a", 2), ("a", 3)]
    retries = [e for e in runner.events if isinstance(e.body, RetryRecorded)]
    delays = [e.body.next_retry_at - e.at for e in retries]  # type: ignore[union-attr]
    assert delays == [500, 1000]
    failed, ended = runner.events[-2:]
    assert isinstance(failed.body, TaskFailed)
    assert ended.body == WorkflowFailed(path="a", error_type="ValueError", error="no 3")
    assert failed.cause == ended.cause == "outcome:a#3"


def test_a_later_attempt_may_succeed() -> None:
    runner = runner_of(TaskNode(id="a", retry=RETRY))
    runner.tasks["a"] = lambda _data, attempt: b"5" if attempt == 2 else "no"
    runner.start()
    runner.run()
    assert runner.output == b"5"


def test_no_attempt_is_due_behind_the_most_time_that_all_may_take() -> None:
    retry = Retry(max_retries=9, initial_delay_ms=500, max_elapsed_ms=1500)
    runner = runner_of(TaskNode(id="a", retry=retry))
    runner.tasks["a"] = lambda _data, attempt: f"no {attempt}"
    runner.start()
    runner.run()
    # Due 0, 500 and 1500 ms after the first; the next would be at 3500.
    assert runner.executions == [("a", 1), ("a", 2), ("a", 3)]
    assert runner.events[-1].kind == "WorkflowFailed"


def test_a_retry_of_the_run_has_all_that_time_again() -> None:
    retry = Retry(max_retries=9, initial_delay_ms=500, max_elapsed_ms=600)
    runner = runner_of(TaskNode(id="a", retry=retry))
    runner.tasks["a"] = lambda _data, attempt: f"no {attempt}"
    runner.start()
    runner.run()
    runner.now += 3_600_000
    runner.command(RetryWorkflow(instance_id="i", command_id=""))
    runner.run()
    assert runner.executions == [("a", 1), ("a", 2)] * 2


def test_no_retry_means_one_attempt() -> None:
    runner = runner_of(TaskNode(id="a", retry=Retry(max_retries=0)))
    runner.tasks["a"] = lambda _data, _attempt: "no"
    runner.start()
    runner.run()
    assert runner.executions == [("a", 1)]
    assert runner.header.phase == "failed"


def test_an_outcome_that_cannot_be_retried_fails_at_once() -> None:
    runner = runner_of(TaskNode(id="a", retry=RETRY))
    runner.start()
    runner.decide(outcome(result="failed", error_type="encode", retriable=False))
    assert runner.header.phase == "failed"


def test_a_deadline_is_set_when_the_attempt_begins() -> None:
    runner = runner_of(TaskNode(id="a", timeout_ms=2000))
    runner.start()
    runner.now += 700
    runner.begin(runner.owed()[0])
    assert runner.events[-1].body == DeadlineSet(
        path="a", attempt=1, deadline_at=runner.now + 2000, timeout_ms=2000
    )
    assert runner.events[-1].cause == "owed:2"


def test_a_timed_out_attempt_fails_or_is_retried() -> None:
    runner = runner_of(TaskNode(id="a", timeout_ms=2000, retry=RETRY))
    runner.start()
    runner.begin(runner.owed()[0])
    due_at = runner.now + 2000
    runner.now = due_at
    events = runner.decide(TimerDue(instance_id="i", chain="", due_at=due_at))
    body = events[0].body
    assert isinstance(body, RetryRecorded)
    assert body.timed_out
    assert body.error == "Task 'a' timed out after 2s"
    assert events[0].cause == f"timer:a@{due_at}"
    late = runner.decide(outcome())
    assert late[0].body == OutcomeRejected(path="a", attempt=1, reason="late")


def test_a_deadline_that_passed_while_nobody_looked_is_a_time_out() -> None:
    runner = runner_of(TaskNode(id="a", timeout_ms=2000))
    runner.start()
    runner.begin(runner.owed()[0])
    runner.now += 60_000
    runner.crash()
    assert runner.executions == []
    runner.run()
    assert runner.kinds()[-2:] == ["TaskFailed", "WorkflowFailed"]


def test_a_lost_owner_restarts_the_attempt_under_the_same_deadline() -> None:
    runner = runner_of(TaskNode(id="a", timeout_ms=2000))
    runner.start()
    runner.begin(runner.owed()[0])
    runner.now += 1000
    runner.crash()
    kinds = runner.kinds()
    assert kinds.count("DeadlineSet") == 1
    assert kinds.count("AttemptRestarted") == 1
    assert runner.header.phase == "completed"


def test_an_attempt_is_given_up_after_ten_restarts() -> None:
    runner = runner_of(TaskNode(id="a"))
    runner.start()
    for _ in range(10):
        runner.crash_in_attempt()
    assert runner.kinds().count("AttemptRestarted") == 10
    runner.crash_in_attempt()
    failed = runner.events[-2].body
    assert isinstance(failed, TaskFailed)
    assert failed.error_type == "worker_lost"
    assert runner.events[-1].cause.startswith("takeover:")
    restarts = [e.body for e in runner.events if isinstance(e.body, AttemptRestarted)]
    assert [body.restarts for body in restarts] == list(range(1, 11))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"run": 2}, "foreign"),
        ({"path": "zz/q"}, "foreign"),
        ({"attempt": 2}, "foreign"),
        ({"path": "zz"}, "late"),
    ],
)
def test_an_outcome_that_is_not_due_is_rejected(
    fields: dict[str, object], reason: str
) -> None:
    runner = runner_of(TaskNode(id="a"))
    runner.start()
    events = runner.decide(outcome(**fields))
    body = events[0].body
    assert isinstance(body, OutcomeRejected)
    assert body.reason == reason
    assert runner.header.phase == "running"
    assert runner.header.run == 1


def test_a_second_outcome_changes_nothing() -> None:
    runner = InstanceRunner(Graph(name="w", chain=(TaskNode(id="a"), TaskNode(id="b"))))
    runner.start()
    runner.decide(outcome())
    before = dict(runner.rows.rows)
    runner.decide(outcome(output=b"666"))
    after = dict(runner.rows.rows)
    before.pop("h")
    after.pop("h")
    assert after == before


def test_an_outcome_of_an_earlier_run_is_rejected() -> None:
    runner = runner_of(TaskNode(id="a"))
    runner.start()
    runner.start(conflict_policy="terminate_existing")
    events = runner.decide(outcome(run=1))
    assert isinstance(events[0].body, OutcomeRejected)
    assert events[0].run == 1
    assert runner.header.run == 2


@given(
    st.integers(0, 10**7),
    st.floats(1.0, 10.0),
    st.one_of(st.none(), st.integers(0, 10**6)),
    st.integers(1, 400),
)
def test_a_backoff_never_exceeds_its_maximum(
    initial: int, multiplier: float, most: int | None, number: int
) -> None:
    retry = Retry(
        max_retries=9,
        initial_delay_ms=initial,
        backoff_multiplier=multiplier,
        max_delay_ms=most,
    )
    delay = retry_delay_ms(retry, number, "seed")
    assert delay >= 0
    assert most is None or delay <= most
    if number == 1 and most is None:
        assert delay == initial


def test_jitter_shortens_by_at_most_its_share_and_is_the_same_everywhere() -> None:
    retry = Retry(max_retries=9, initial_delay_ms=1000, jitter=0.5)
    delays = {retry_delay_ms(retry, 1, f"i{number}") for number in range(200)}
    assert min(delays) >= 500
    assert max(delays) <= 1000
    assert len(delays) > 50
    assert retry_delay_ms(retry, 1, "x") == retry_delay_ms(retry, 1, "x")


@given(st.text(), st.integers(60, 400))
def test_a_clipped_text_keeps_head_and_tail_within_its_limit(
    text: str, limit: int
) -> None:
    clipped = clip(text, limit)
    assert len(clipped.encode()) <= limit
    if len(text.encode("utf-8", "replace")) <= limit:
        assert clipped == text.encode("utf-8", "replace").decode()
