"""Quarantine: an instance stands still, visibly, until it is released or ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, task
from sayiir_es.core.decide.decide import decide
from sayiir_es.core.decide.quarantine import on_error
from sayiir_es.core.draft import DecisionContext
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    Command,
    PauseWorkflow,
    RetryWorkflow,
    SendSignal,
    UnpauseWorkflow,
)
from sayiir_es.core.model.events import (
    CommandAcknowledged,
    CommandRejected,
    DeadlineSet,
    InstanceQuarantined,
)
from sayiir_es.core.model.inputs import (
    Commanded,
    DecisionFailed,
    ResumeCut,
    SlotTaken,
    TakenOver,
    TimerDue,
)
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.core.model.position import CommandPosition
from sayiir_es.core.status.status import status_of
from tests.audit.mutations import History
from tests.core.instance_runner import BATCH_BYTES, InstanceRunner, OneGraph

if TYPE_CHECKING:
    from sayiir_es.core.draft import Decision
    from sayiir_es.core.model.inputs import Input

FAILED = DecisionFailed(
    instance_id="i", decided_on="a take-over", error_type="KeyError", error="'x'"
)


@task(timeout="30s", retries=2)
def pay(value: int) -> int:
    return value


def quarantined() -> InstanceRunner:
    """An instance with a running attempt, a delay and a wait, in quarantine."""
    flow = Flow("w").fork()
    flow = flow.branch(pay)
    flow = flow.branch(lambda value: value, name="other")
    runner = InstanceRunner(flow.join(lambda both: both, name="both").build().graph)
    runner.start()
    for attempt in runner.owed():
        runner.begin(attempt)
    runner.decide(FAILED)
    return runner


def error_of(runner: InstanceRunner, input_: Input, error: Exception) -> Decision:
    """What is decided instead of a decision that raised an error."""
    context = DecisionContext(
        claim=0,
        now_ms=runner.now,
        definitions=OneGraph(runner.graph),
        limits=runner.limits,
        batch_bytes=BATCH_BYTES,
    )
    return on_error(input_, error, runner.rows, context, BATCH_BYTES)


def test_nothing_of_it_runs_and_no_timer_fires() -> None:
    runner = quarantined()
    assert runner.header.phase == "quarantined"
    assert not runner.owed()
    assert not runner.fire()
    count = len(runner.events)
    runner.now += 100_000
    path = next(
        event.body.path
        for event in runner.events
        if isinstance(event.body, DeadlineSet)
    )
    chain = path.rpartition("/")[0]
    for input_ in (
        TimerDue(instance_id="i", chain=chain, due_at=1_030_000),
        SlotTaken(instance_id="i", run=1, path=path, attempt=1, restart=True),
        TakenOver(instance_id="i"),
        ResumeCut(instance_id="i"),
        FAILED,
    ):
        runner.decide(input_)
    assert len(runner.events) == count


def test_its_status_says_what_could_not_be_decided_and_who_helps() -> None:
    runner = quarantined()
    status = status_of(runner.rows, "i", runner.graph)
    assert status is not None
    assert status.status == "quarantined"
    assert status.waiting_for == (
        "a retry: a take-over could not be decided, KeyError: 'x'"
    )
    assert (status.error_type, status.error) == ("KeyError", "'x'")


@pytest.mark.parametrize(
    "command",
    [
        SendSignal(instance_id="i", command_id="", signal="s", payload=b"1"),
        PauseWorkflow(instance_id="i", command_id=""),
        UnpauseWorkflow(instance_id="i", command_id=""),
    ],
    ids=lambda command: type(command).__name__,
)
def test_a_command_that_neither_releases_nor_ends_it_is_rejected(
    command: Command,
) -> None:
    (event,) = quarantined().command(command)
    assert isinstance(event.body, CommandRejected)
    assert event.body.code == "quarantined"


def test_a_retry_releases_it_and_it_goes_on_where_it_stood() -> None:
    runner = quarantined()
    (released,) = runner.command(RetryWorkflow(instance_id="i", command_id=""))
    assert (released.kind, released.run) == ("InstanceReleased", 2)
    assert {(a.run, a.attempt, a.deadline_at) for a in runner.owed()} == {(2, 1, None)}
    runner.run()
    assert runner.header.phase == "completed"
    assert not History.of(runner).violations()


def test_an_attempt_of_before_the_release_counts_for_nothing() -> None:
    runner = quarantined()
    before = {(run, path, number) for run, path, number in runner.handed}
    runner.command(RetryWorkflow(instance_id="i", command_id=""))
    attempt = runner.owed()[0]
    assert (attempt.run, attempt.path, attempt.attempt) not in before
    late = runner.finish(replace(attempt, run=1))
    assert [event.kind for event in late] == ["OutcomeRejected"]


def test_what_was_paused_is_paused_again_behind_its_release() -> None:
    runner = InstanceRunner(Flow("w").then(pay).build().graph)
    runner.start()
    runner.command(PauseWorkflow(instance_id="i", command_id=""))
    runner.take_over()
    assert runner.header.phase == "paused"
    runner.decide(FAILED)
    runner.command(RetryWorkflow(instance_id="i", command_id=""))
    assert runner.header.phase == "paused"
    runner.command(UnpauseWorkflow(instance_id="i", command_id=""))
    runner.run()
    assert runner.output == b"1"
    assert not History.of(runner).violations()


def test_a_cancel_ends_it_though_an_attempt_was_awaited() -> None:
    runner = quarantined()
    events = runner.command(CancelWorkflow(instance_id="i", command_id=""))
    assert [event.kind for event in events] == ["CancelRequested", "WorkflowCancelled"]
    assert runner.rows.get("z") is None
    assert not History.of(runner).violations()


def test_a_cancel_that_was_requested_before_applies_at_once() -> None:
    runner = InstanceRunner(Flow("w").then(pay).build().graph)
    runner.start()
    runner.begin(runner.owed()[0])
    runner.command(CancelWorkflow(instance_id="i", command_id=""))
    events = runner.decide(FAILED)
    assert [e.kind for e in events] == ["InstanceQuarantined", "WorkflowCancelled"]
    (event,) = runner.command(CancelWorkflow(instance_id="i", command_id=""))
    assert isinstance(event.body, CommandAcknowledged)
    assert not History.of(runner).violations()


def test_another_start_may_end_it() -> None:
    runner = quarantined()
    events = runner.start(conflict_policy="terminate_existing")
    assert [e.kind for e in events[:2]] == ["WorkflowTerminated", "WorkflowStarted"]
    assert runner.rows.get("z") is None
    runner.run()
    assert runner.header.phase == "completed"
    assert not History.of(runner).violations()


def test_a_command_that_raised_is_answered_and_its_instance_goes_on() -> None:
    runner = InstanceRunner(Flow("w").then(pay).build().graph)
    runner.start()
    command = PauseWorkflow(instance_id="i", command_id="c")
    position = CommandPosition(partition=0, offset=1, origin=None)
    commanded = Commanded(command=command, position=position)
    decision = error_of(runner, commanded, RecursionError("deep \ud800" * 10_000))
    (event,) = decision.events
    assert isinstance(event.body, CommandRejected)
    assert (event.body.code, event.cause) == ("internal", "command:0@1")
    assert len(event.body.message.encode()) <= DEFAULT_LIMITS.error_bytes


def test_the_error_of_a_quarantine_is_clipped_and_can_be_written() -> None:
    runner = InstanceRunner(Flow("w").then(pay).build().graph)
    runner.start()
    decision = error_of(
        runner, TakenOver(instance_id="i"), ValueError("\ud800" * 9_000)
    )
    (event,) = decision.events
    assert isinstance(event.body, InstanceQuarantined)
    assert 0 < len(event.body.error.encode()) <= DEFAULT_LIMITS.error_bytes
    assert event.cause == "takeover:0"


def test_what_has_ended_is_not_quarantined() -> None:
    runner = InstanceRunner(Flow("w").then(pay).build().graph)
    runner.start()
    runner.run()
    assert not runner.decide(FAILED)
    context = DecisionContext(
        claim=0,
        now_ms=runner.now,
        definitions=OneGraph(runner.graph),
        limits=runner.limits,
        batch_bytes=BATCH_BYTES,
    )
    assert not decide(FAILED, runner.rows, context, BATCH_BYTES).changes
