"""An outcome from elsewhere counts with the secret of its attempt, and only with it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayiir_es import Flow, LoopResult, task
from sayiir_es.core.model.attempt_events import AttemptPublished
from sayiir_es.core.model.commands import CancelWorkflow, RecordOutcome
from sayiir_es.core.model.events import (
    AttemptRestarted,
    AttemptWithdrawn,
    CommandRejected,
    DeadlineCleared,
    DeadlineSet,
    OutcomeRejected,
    RetryRecorded,
    RouteChosen,
    TaskCompleted,
    TaskFailed,
)
from sayiir_es.core.model.inputs import Handout, OutcomeResult, SlotTaken
from sayiir_es.core.nodes.task import EARLIER_HASHES_MAX, awaiting
from tests.core.instance_runner import InstanceRunner

if TYPE_CHECKING:
    from sayiir_es.core.model.events import Event

SECRET = bytes(range(16))
OTHER = bytes(16)
PAY = Flow("w").then(abs, name="pay").build().graph


def hand_out(
    runner: InstanceRunner,
    path: str = "pay",
    secret: bytes = SECRET,
    *,
    attempt: int = 1,
    restart: bool = False,
) -> list[Event]:
    """Hand an attempt to an executor elsewhere."""
    runner.handed.add((runner.header.run, path, attempt))
    handout = Handout(
        executor="gpu-1",
        secret_hash=hashlib.sha256(secret).digest(),
        lease_ms=10_000,
    )
    return runner.decide(
        SlotTaken(
            instance_id="i",
            run=runner.header.run,
            path=path,
            attempt=attempt,
            restart=restart,
            handout=handout,
        )
    )


def outcome(secret: bytes | None = SECRET, path: str = "pay") -> RecordOutcome:
    """The outcome of attempt 1 at a path, completed."""
    return RecordOutcome(
        instance_id="i",
        command_id="",
        run=1,
        path=path,
        attempt=1,
        result="completed",
        output=b'"paid"',
        worker="gpu-1",
        secret=secret,
    )


def started(graph: InstanceRunner | None = None) -> InstanceRunner:
    """An instance whose first attempt is due."""
    runner = graph or InstanceRunner(PAY)
    runner.start()
    return runner


def of_result(result: OutcomeResult, secret: bytes | None) -> RecordOutcome:
    """An outcome of that kind."""
    output = b'"paid"' if result == "completed" else None
    return replace(outcome(secret), result=result, output=output)


@pytest.mark.parametrize("secret", [None, b"", OTHER, SECRET[:-1], SECRET + b"\0"])
@pytest.mark.parametrize("is_handed_out", [True, False])
@pytest.mark.parametrize("result", get_args(OutcomeResult))
def test_without_the_secret_it_is_refused_and_changes_nothing(
    result: OutcomeResult, secret: bytes | None, *, is_handed_out: bool
) -> None:
    runner = started()
    if is_handed_out:
        hand_out(runner)
    before = awaiting(runner.rows, "pay")
    (event,) = runner.command(of_result(result, secret))
    assert isinstance(event.body, CommandRejected)
    assert event.body.code == "bad_request"
    assert awaiting(runner.rows, "pay") == before


def test_with_the_secret_it_ends_its_attempt_and_the_run_goes_on() -> None:
    runner = started()
    (published,) = hand_out(runner)
    assert isinstance(published.body, AttemptPublished)
    assert published.cause == "owed:2"
    done, *_ = runner.command(outcome())
    assert isinstance(done.body, TaskCompleted)
    assert done.body.worker == "gpu-1"
    assert done.cause == "command:0@1"
    assert runner.output == b'"paid"'


def test_the_secret_of_an_instance_that_is_unknown_is_not_found() -> None:
    (event,) = InstanceRunner(PAY).command(outcome())
    assert isinstance(event.body, CommandRejected)
    assert event.body.code == "not_found"


def test_a_second_outcome_is_rejected_visibly() -> None:
    runner = InstanceRunner(
        Flow("w").then(abs, name="pay").then(abs, name="b").build().graph
    )
    started(runner)
    hand_out(runner)
    runner.command(outcome())
    (event,) = runner.command(outcome())
    assert event.body == OutcomeRejected(path="pay", attempt=1, reason="late")
    assert event.cause == "command:0@2"


def test_after_it_was_handed_out_again_only_the_new_secret_counts() -> None:
    runner = started()
    hand_out(runner)
    restarted, published = hand_out(runner, secret=OTHER, restart=True)
    assert restarted.body == AttemptRestarted(path="pay", attempt=1, restarts=1)
    assert isinstance(published.body, AttemptPublished)
    (late,) = runner.command(outcome())
    assert late.body == OutcomeRejected(path="pay", attempt=1, reason="late")
    assert isinstance(runner.command(outcome(OTHER))[0].body, TaskCompleted)


def test_begun_here_behind_a_lost_executor_its_outcome_is_late() -> None:
    runner = started()
    hand_out(runner)
    (owed,) = runner.owed()
    runner.begin(owed, restart=True)
    wait = awaiting(runner.rows, "pay")
    assert wait is not None
    assert (wait.secret_hash, wait.executor, wait.lease_ms) == (b"", "", 0)
    (late,) = runner.command(outcome())
    assert late.body == OutcomeRejected(path="pay", attempt=1, reason="late")
    runner.finish(owed)
    assert runner.output == b"1"


def test_so_many_earlier_secrets_are_remembered_and_older_ones_are_unknown() -> None:
    runner = started()
    secrets = [bytes([number]) * 16 for number in range(EARLIER_HASHES_MAX + 2)]
    for number, secret in enumerate(secrets):
        hand_out(runner, secret=secret, restart=number > 0)
    answers = [runner.command(outcome(secret))[0].body for secret in secrets]
    assert isinstance(answers[0], CommandRejected)
    assert all(isinstance(body, OutcomeRejected) for body in answers[1:-1])
    assert isinstance(answers[-1], TaskCompleted)


def test_an_attempt_that_is_handed_back_is_owed_and_its_restart_counts_not() -> None:
    runner = started()
    hand_out(runner)
    (withdrawn,) = runner.command(of_result("withdrawn", SECRET))
    assert withdrawn.body == AttemptWithdrawn(path="pay", attempt=1)
    (owed,) = runner.owed()
    assert owed.withdrawn
    restarted, _ = hand_out(runner, secret=OTHER, restart=True)
    assert restarted.body == AttemptRestarted(path="pay", attempt=1, restarts=0)
    (late,) = runner.command(of_result("withdrawn", SECRET))
    assert late.body == OutcomeRejected(path="pay", attempt=1, reason="late")


def test_a_deadline_stands_before_the_attempt_is_handed_out() -> None:
    @task(timeout="5s")
    def pay(value: int) -> int:
        return value

    runner = started(InstanceRunner(Flow("w").then(pay).build().graph))
    deadline, published = hand_out(runner)
    assert isinstance(deadline.body, DeadlineSet)
    assert isinstance(published.body, AttemptPublished)
    kinds = [type(e.body) for e in runner.command(of_result("withdrawn", SECRET))]
    assert kinds == [AttemptWithdrawn, DeadlineCleared]


def test_its_deadline_ends_it_and_its_outcome_is_late() -> None:
    @task(timeout="5s")
    def pay(value: int) -> int:
        return value

    runner = started(InstanceRunner(Flow("w").then(pay).build().graph))
    hand_out(runner)
    assert runner.fire()
    failed = next(e.body for e in runner.events if isinstance(e.body, TaskFailed))
    assert failed.timed_out
    (late,) = runner.command(outcome())
    assert isinstance(late.body, OutcomeRejected)


def test_a_failure_says_what_one_in_this_process_says() -> None:
    @task(retries=1)
    def pay(value: int) -> int:
        return value

    runner = started(InstanceRunner(Flow("w").then(pay).build().graph))
    hand_out(runner)
    failure = replace(
        of_result("failed", SECRET),
        error_type="E" * 200,
        error="x" * 10_000,
        error_class="shop.Declined" * 100,
        source_line="orders.go:7",
        causes=("cause " * 1_000,) * 20,
        traceback="line\n" * 10_000,
        error_bases=("shop.Declined",) * 40,
    )
    body = runner.command(failure)[0].body
    limits = runner.limits
    assert isinstance(body, RetryRecorded)
    assert len(body.error) <= limits.error_bytes
    assert len(body.error_class) <= limits.id_bytes
    assert body.source_line == "orders.go:7"
    assert len(body.causes) == limits.causes
    assert sum(map(len, body.causes)) <= limits.causes_bytes
    assert len(body.traceback) <= limits.traceback_bytes
    runner.now = body.next_retry_at
    hand_out(runner, attempt=2, secret=OTHER)
    again = replace(failure, attempt=2, secret=OTHER)
    body = runner.command(again)[0].body
    assert isinstance(body, TaskFailed)
    assert len(body.error_bases) == 16


def test_a_failure_that_no_other_attempt_helps_is_the_last() -> None:
    @task(retries=5)
    def pay(value: int) -> int:
        return value

    runner = started(InstanceRunner(Flow("w").then(pay).build().graph))
    hand_out(runner)
    failure = replace(of_result("failed", SECRET), retriable=False, error="no")
    assert isinstance(runner.command(failure)[0].body, TaskFailed)


@pytest.mark.parametrize(("mark", "is_right"), [("done", True), ("none", False)])
def test_what_ends_a_loop_has_to_say_so(mark: str, *, is_right: bool) -> None:
    def step(value: int) -> LoopResult[int]:
        return LoopResult.done(value)

    graph = Flow("w").loop(step).build().graph
    path = next(iter(started(InstanceRunner(graph)).owed())).path
    runner = started(InstanceRunner(graph))
    hand_out(runner, path)
    end = replace(outcome(path=path), loop="done" if mark == "done" else "none")
    body = runner.command(end)[0].body
    if is_right:
        assert isinstance(body, TaskCompleted)
        assert runner.output == b'"paid"'
    else:
        assert isinstance(body, TaskFailed)
        assert body.error_type == "bad_loop_result"


def test_a_loop_mark_where_no_loop_ends_is_a_failure() -> None:
    runner = started()
    hand_out(runner)
    body = runner.command(replace(outcome(), loop="again"))[0].body
    assert isinstance(body, TaskFailed)
    assert body.error_type == "bad_loop_result"


def test_a_key_from_elsewhere_chooses_a_branch() -> None:
    flow = Flow("w").route(str, keys=["a", "b"]).branch("a", abs).branch("b", abs)
    runner = started(InstanceRunner(flow.done().build().graph))
    (owed,) = runner.owed()
    hand_out(runner, owed.path)
    chosen = replace(outcome(path=owed.path), output=b'"b"')
    body = runner.command(chosen)[0].body
    assert isinstance(body, RouteChosen)
    assert body.key == "b"


def test_a_take_over_leaves_it_where_it_is_and_its_outcome_counts() -> None:
    runner = started()
    hand_out(runner)
    runner.take_over()
    assert isinstance(runner.command(outcome())[0].body, TaskCompleted)


def test_a_cancel_waits_for_it_and_takes_it_back() -> None:
    runner = started()
    hand_out(runner)
    runner.command(CancelWorkflow(instance_id="i", command_id=""))
    runner.take_over()
    assert "WorkflowCancelled" not in runner.kinds()
    runner.command(of_result("withdrawn", SECRET))
    assert runner.kinds()[-1] == "WorkflowCancelled"
    (late,) = runner.command(outcome())
    assert late.body == OutcomeRejected(path="pay", attempt=1, reason="late")


def test_the_same_attempt_elsewhere_and_here_make_the_same_rows() -> None:
    here, elsewhere = started(), started()
    here.run()
    hand_out(elsewhere)
    elsewhere.command(replace(outcome(), output=b"1"))
    assert here.output == elsewhere.output


@given(secret=st.binary(max_size=40))
def test_no_other_bytes_are_the_secret(secret: bytes) -> None:
    runner = started()
    hand_out(runner)
    body = runner.command(outcome(secret))[0].body
    assert isinstance(body, TaskCompleted) == (secret == SECRET)
