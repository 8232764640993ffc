"""What completed tasks did is undone, in reverse, when their run fails or ends."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import (
    Branch,
    DelayNode,
    ForkNode,
    LoopNode,
    Node,
    Retry,
    SignalNode,
    TaskNode,
)
from sayiir_es.core.graph.references import resolve
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    Command,
    PauseWorkflow,
    RetryWorkflow,
    SendSignal,
    StartWorkflow,
    UnpauseWorkflow,
)
from sayiir_es.core.model.compensation_events import (
    CompensationEnded,
    CompensationRequested,
)
from sayiir_es.core.model.events import (
    CommandAcknowledged,
    CommandRejected,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowFailed,
)
from sayiir_es.core.model.inputs import DecisionFailed, Outcome
from sayiir_es.core.model.limits import Limits
from sayiir_es.core.status.status import status_of
from tests.core.instance_runner import InstanceRunner, Task

if TYPE_CHECKING:
    from sayiir_es.core.decide.owed import OwedAttempt
    from sayiir_es.core.model.events import Event


def undoable(name: str, retry: Retry | None = None) -> TaskNode:
    return TaskNode(id=name, compensate=TaskNode(id=f"un{name}", retry=retry))


def fails(_data: bytes, _attempt: int, /) -> bytes | str:
    return "no"


def runner_of(*chain: Node, **limits: int) -> InstanceRunner:
    runner = InstanceRunner(
        Graph(name="w", chain=chain), limits=Limits(**limits), tasks={"bad": fails}
    )
    for path in runner.graph.places:
        if path.rpartition("/")[2][:1] == "t":
            runner.tasks[path] = says(json.dumps([path]).encode())
    return runner


def says(result: bytes) -> Task:
    def run(_data: bytes, _attempt: int, /) -> bytes | str:
        return result

    return run


def started(*chain: Node) -> InstanceRunner:
    runner = runner_of(*chain)
    runner.start()
    runner.run()
    return runner


def undone(runner: InstanceRunner) -> list[str]:
    return [
        event.body.path
        for event in runner.events
        if isinstance(event.body, CompensationEnded)
    ]


def last(runner: InstanceRunner) -> Event:
    return runner.events[-1]


def answer_to(runner: InstanceRunner, command: Command) -> tuple[str, str]:
    body = runner.command(command)[0].body
    assert isinstance(body, CommandRejected | CommandAcknowledged), body
    return type(body).__name__, body.code


CANCEL = CancelWorkflow(instance_id="i", command_id="", reason="late")
BAD = TaskNode(id="bad")


def test_completed_tasks_are_undone_in_reverse_and_then_the_failure_stands() -> None:
    runner = started(undoable("t1"), TaskNode(id="t2"), undoable("t3"), BAD)
    assert runner.kinds()[-10:] == [
        "TaskFailed",
        "CompensationRequested",
        "CompensationStarted",
        "PositionUpdated",
        "TaskCompleted",
        "CompensationEnded",
        "PositionUpdated",
        "TaskCompleted",
        "CompensationEnded",
        "WorkflowFailed",
    ]
    assert undone(runner) == ["t3", "t1"]
    assert last(runner).body == WorkflowFailed(
        path="bad", error_type="ValueError", error="no", compensated=("t3", "t1")
    )
    assert runner.header.phase == "failed"


def test_a_compensation_is_given_the_input_and_the_result_of_its_task() -> None:
    runner = runner_of(undoable("t1"), undoable("t2"), BAD)
    given: dict[str, bytes] = {}

    def take(data: bytes, _attempt: int, /) -> bytes | str:
        given[str(len(given))] = data
        return b"null"

    runner.tasks |= {"t1/@compensate": take, "t2/@compensate": take}
    runner.start(b'{"order":7}')
    runner.run()
    assert list(given.values()) == [
        b'{"input":["t1"],"result":["t2"]}',
        b'{"input":{"order":7},"result":["t1"]}',
    ]


def test_a_run_that_completes_undoes_nothing_and_keeps_nothing_for_it() -> None:
    runner = started(undoable("t1"), undoable("t2"))
    assert isinstance(last(runner).body, WorkflowCompleted)
    assert not any(key[0] in "oudn" for key in runner.rows.rows)


def test_a_failure_before_anything_was_done_fails_the_run_at_once() -> None:
    runner = started(BAD, undoable("t1"))
    assert runner.kinds()[-2:] == ["TaskFailed", "WorkflowFailed"]


def test_branches_are_undone_side_by_side_and_the_fork_before_what_came_before() -> (
    None
):
    fork = ForkNode(
        id="f",
        branches=(
            Branch(name="a", chain=(undoable("t1"), undoable("t2"))),
            Branch(name="b", chain=(undoable("t3"),)),
        ),
    )
    runner = runner_of(undoable("t0"), fork, undoable("tj"), BAD)
    runner.start()
    while runner.header.compensation != "started":
        assert runner.step()
    runner.step()  # the join's, alone
    assert {a.path for a in runner.owed()} == {
        "f/a/t2/@compensate",
        "f/b/t3/@compensate",
    }
    runner.run()
    assert undone(runner)[0] == "tj"
    assert undone(runner)[-1] == "t0"
    assert sorted(undone(runner)[1:4]) == ["f/a/t1", "f/a/t2", "f/b/t3"]
    assert undone(runner).index("f/a/t2") < undone(runner).index("f/a/t1")


class LoopRunner(InstanceRunner):
    """Its `e` ends a loop's body, for the third time done."""

    @cached_property
    def given(self) -> list[tuple[str, bytes]]:
        """What compensations were given, with their paths."""
        return []

    def finish(self, attempt: OwedAttempt) -> list[Event]:
        """The function runs and its outcome is decided."""
        data = resolve(self.rows, self.graph, attempt.input)
        if attempt.path.endswith("@compensate"):
            self.given.append((attempt.path, data))
        if not attempt.path.endswith("/e"):
            return super().finish(attempt)
        turn = int(attempt.path[2])
        return self.decide(
            Outcome(
                instance_id="i",
                run=attempt.run,
                path=attempt.path,
                attempt=1,
                result="completed",
                output=b"%d" % turn,
                loop="again" if turn < 2 else "done",
                worker="w",
            )
        )


def test_each_iteration_of_a_loop_is_undone_with_what_it_was_given() -> None:
    body = (undoable("t1"), undoable("e"))
    chain = (LoopNode(id="l", body=body, max_iterations=3), BAD)
    runner = LoopRunner(Graph(name="w", chain=chain), tasks={"bad": fails})
    given = runner.given
    runner.start(b'"in"')
    runner.run()
    assert undone(runner) == [
        f"l@{turn}/{t}" for turn in (2, 1, 0) for t in ("e", "t1")
    ]
    assert [data for path, data in given if "/t1/" in path] == [
        b'{"input":1,"result":1}',
        b'{"input":0,"result":0}',
        b'{"input":"in","result":"in"}',
    ]


def test_a_compensation_that_fails_is_retried_and_then_named() -> None:
    runner = runner_of(
        undoable("t1"), undoable("t2", Retry(max_retries=2, initial_delay_ms=10)), BAD
    )
    runner.tasks["t2/@compensate"] = fails
    runner.start()
    runner.run()
    assert runner.kinds().count("RetryRecorded") == 2
    assert last(runner).body == WorkflowFailed(
        path="bad",
        error_type="ValueError",
        error="no",
        compensated=("t1",),
        not_compensated=("t2",),
    )


def test_a_compensation_whose_time_is_up_has_failed() -> None:
    undo = TaskNode(id="untimed", timeout_ms=500)
    runner = runner_of(undoable("t1"), TaskNode(id="t2", compensate=undo), BAD)
    runner.start()
    while runner.header.compensation != "started":
        runner.step()
    (attempt,) = runner.owed()
    runner.begin(attempt)
    assert runner.kinds()[-1] == "DeadlineSet"
    assert runner.fire()
    assert runner.kinds()[-3:] == [
        *("TaskFailed", "CompensationEnded", "PositionUpdated")
    ]
    runner.run()
    body = last(runner).body
    assert isinstance(body, WorkflowFailed)
    assert (body.compensated, body.not_compensated) == (("t1",), ("t2",))


def test_a_cancel_undoes_what_was_done_and_then_the_run_is_cancelled() -> None:
    runner = started(
        undoable("t1"), DelayNode(id="d", duration_ms=5), SignalNode(id="s", signal="s")
    )
    kinds = [event.kind for event in runner.command(CANCEL)]
    assert kinds == ["CancelRequested", "CompensationStarted", "PositionUpdated"]
    runner.run()
    assert last(runner).body == WorkflowCancelled(
        reason="late", requested_by=None, interrupted_at=("s",), compensated=("t1",)
    )


def test_a_cancel_of_a_paused_run_undoes_it() -> None:
    runner = started(undoable("t1"), SignalNode(id="s", signal="s"))
    runner.command(PauseWorkflow(instance_id="i", command_id=""))
    assert runner.header.phase == "paused"
    runner.command(CANCEL)
    runner.run()
    assert isinstance(last(runner).body, WorkflowCancelled)
    assert undone(runner) == ["t1"]


def side_by_side() -> InstanceRunner:
    """`bad` has failed while the task `t1` beside it, which can be undone, runs."""
    fork = ForkNode(
        id="f",
        branches=(
            Branch(name="a", chain=(undoable("t1"), undoable("t2"))),
            Branch(name="b", chain=(BAD,)),
        ),
    )
    runner = runner_of(fork, TaskNode(id="j"))
    runner.tasks["f/b/bad"] = fails
    runner.start()
    first, second = sorted(runner.owed(), key=lambda attempt: attempt.path)
    runner.begin(first)
    runner.begin(second)
    runner.finish(second)
    return runner


def test_what_runs_when_the_run_fails_may_end_and_is_undone_too() -> None:
    runner = side_by_side()
    assert isinstance(last(runner).body, CompensationRequested)
    assert runner.owed() == []
    outcome = Outcome(
        instance_id="i",
        run=1,
        path="f/a/t1",
        attempt=1,
        result="completed",
        output=b"1",
        worker="w",
    )
    kinds = [event.kind for event in runner.decide(outcome)]
    assert kinds == ["TaskCompleted", "CompensationStarted", "PositionUpdated"]
    runner.run()
    assert undone(runner) == ["f/a/t1"]
    body = last(runner).body
    assert isinstance(body, WorkflowFailed)
    assert (body.path, body.compensated) == ("f/b/bad", ("f/a/t1",))


def test_what_runs_when_the_run_fails_and_does_not_complete_leaves_it_failed() -> None:
    runner = side_by_side()
    runner.run()  # it is withdrawn
    assert runner.kinds()[-2:] == ["AttemptWithdrawn", "WorkflowFailed"]
    assert runner.header.phase == "failed"


def test_a_retry_behind_a_failure_that_undid_nothing_is_an_ordinary_one() -> None:
    runner = side_by_side()
    runner.run()
    runner.tasks["f/b/bad"] = says(b"1")
    runner.command(RetryWorkflow(instance_id="i", command_id=""))
    runner.run()
    assert runner.header.phase == "completed"


def test_a_new_owner_finds_a_failed_run_and_begins_nothing_of_it() -> None:
    runner = side_by_side()
    runner.take_over()
    assert runner.kinds()[-2:] == ["AttemptWithdrawn", "WorkflowFailed"]


def test_what_is_undone_goes_on_under_another_owner() -> None:
    runner = runner_of(undoable("t1"), undoable("t2"), undoable("t3"), BAD)
    runner.start()
    while undone(runner) != ["t3"]:
        runner.step()
    runner.crash_in_attempt()
    assert runner.kinds()[-1] == "AttemptRestarted"
    runner.crash()
    runner.run()
    assert undone(runner) == ["t3", "t2", "t1"]


def test_a_compensation_whose_worker_is_lost_too_often_could_not_undo() -> None:
    fork = ForkNode(
        id="f",
        branches=tuple(Branch(name=b, chain=(undoable("t1"),)) for b in ("a", "b")),
    )
    runner = runner_of(undoable("t0"), fork, BAD, max_restarts=2)
    runner.start()
    while runner.header.compensation != "started":
        runner.step()
    for _ in range(3):
        runner.crash_in_attempt()
    assert sorted(undone(runner)) == ["f/a/t1", "f/b/t1"]
    runner.crash()
    runner.run()
    body = last(runner).body
    assert isinstance(body, WorkflowFailed)
    assert body.compensated == ("t0",)
    assert sorted(body.not_compensated) == ["f/a/t1", "f/b/t1"]


def compensating() -> InstanceRunner:
    runner = runner_of(undoable("t1"), undoable("t2"), BAD)
    runner.start()
    while runner.header.compensation != "started":
        runner.step()
    return runner


@pytest.mark.parametrize("situation", [compensating, side_by_side])
def test_a_run_that_is_about_to_end_takes_signals_and_another_start_alone(
    situation: object,
) -> None:
    assert callable(situation)
    runner = situation()
    assert isinstance(runner, InstanceRunner)
    assert answer_to(runner, CANCEL) == ("CommandAcknowledged", "unchanged")
    pause = PauseWorkflow(instance_id="i", command_id="")
    assert answer_to(runner, pause) == ("CommandRejected", "terminal")
    unpause = UnpauseWorkflow(instance_id="i", command_id="")
    assert answer_to(runner, unpause) == ("CommandRejected", "not_paused")
    retry = RetryWorkflow(instance_id="i", command_id="")
    assert answer_to(runner, retry) == ("CommandRejected", "not_failed")
    signal = SendSignal(instance_id="i", command_id="", signal="s", payload=b"1")
    assert runner.command(signal)[0].kind == "SignalReceived"
    start = StartWorkflow(
        instance_id="i",
        command_id="",
        workflow="w",
        input=b"1",
        attributes={},
        conflict_policy="terminate_existing",
    )
    kinds = [event.kind for event in runner.command(start)]
    assert kinds[:2] == ["WorkflowTerminated", "WorkflowStarted"]
    assert runner.header.compensation == "none"
    assert not any(key[0] in "oudn" for key in runner.rows.rows)


def test_a_status_says_what_is_being_undone() -> None:
    runner = compensating()
    status = status_of(runner.rows, "i", runner.graph)
    assert status is not None
    assert status.status == "in_progress"
    assert status.waiting_for == (
        "undoing what was done before the failure: task 't2/@compensate', attempt 1"
    )
    assert status.error_type == "ValueError"
    runner.tasks["t2/@compensate"] = fails
    runner.run()
    status = status_of(runner.rows, "i", runner.graph)
    assert status is not None
    assert (status.compensated, status.not_compensated) == (("t1",), ("t2",))


def test_a_retry_tries_again_what_could_not_be_undone_and_nothing_else() -> None:
    runner = compensating()
    runner.tasks["t1/@compensate"] = fails
    runner.tasks["t2/@compensate"] = fails
    runner.run()
    with_input = RetryWorkflow(instance_id="i", command_id="", input=b"1")
    assert answer_to(runner, with_input) == ("CommandRejected", "bad_request")
    del runner.tasks["t2/@compensate"]
    runner.command(RetryWorkflow(instance_id="i", command_id=""))
    runner.run()
    body = last(runner).body
    assert isinstance(body, WorkflowFailed)
    assert (body.path, body.error) == ("bad", "no")
    assert (body.compensated, body.not_compensated) == (("t2",), ("t1",))
    assert last(runner).run == 2
    del runner.tasks["t1/@compensate"]
    runner.command(RetryWorkflow(instance_id="i", command_id=""))
    runner.run()
    body = last(runner).body
    assert isinstance(body, WorkflowFailed)
    assert (body.compensated, body.not_compensated) == (("t2", "t1"), ())
    retry = RetryWorkflow(instance_id="i", command_id="")
    assert answer_to(runner, retry) == ("CommandRejected", "compensated")


def test_a_cancel_in_quarantine_undoes_nothing_and_names_all() -> None:
    runner = started(undoable("t1"), undoable("t2"), SignalNode(id="s", signal="s"))
    quarantine(runner)
    kinds = [event.kind for event in runner.command(CANCEL)]
    assert kinds == ["CancelRequested", "WorkflowCancelled"]
    body = last(runner).body
    assert isinstance(body, WorkflowCancelled)
    assert (body.compensated, body.not_compensated) == ((), ("t2", "t1"))


@pytest.mark.parametrize("by_cancel", [False, True])
def test_a_cancel_gives_up_what_stands_still_in_the_middle(*, by_cancel: bool) -> None:
    runner = runner_of(
        undoable("t1"),
        undoable("t2"),
        SignalNode(id="s", signal="s") if by_cancel else BAD,
    )
    runner.start()
    while runner.step():
        if runner.header.compensation == "started":
            break
    if by_cancel:
        runner.command(CANCEL)
    assert runner.header.compensation == "started"
    runner.step()
    quarantine(runner)
    assert runner.header.phase == "quarantined"  # it stands, though a cancel began it
    runner.command(CANCEL)
    body = last(runner).body
    assert isinstance(body, WorkflowCancelled)
    assert (body.compensated, body.not_compensated) == (("t2",), ("t1",))


def test_a_retry_in_quarantine_goes_on_undoing() -> None:
    runner = compensating()
    runner.step()
    quarantine(runner)
    runner.command(RetryWorkflow(instance_id="i", command_id=""))
    runner.run()
    body = last(runner).body
    assert isinstance(body, WorkflowFailed)
    assert body.compensated == ("t2", "t1")


def quarantine(runner: InstanceRunner) -> None:
    runner.decide(
        DecisionFailed(
            instance_id="i",
            cause="",
            decided_on="a test",
            error_type="KeyError",
            error="k",
        )
    )


def test_a_pause_that_was_asked_for_ends_with_the_failure() -> None:
    runner = side_by_side_paused()
    assert runner.header.pause is None
    runner.run()
    assert runner.header.phase == "failed"


def side_by_side_paused() -> InstanceRunner:
    runner = runner_of(undoable("t1"), BAD)
    runner.start()
    runner.step()
    attempt = runner.owed()[0]
    runner.begin(attempt)
    runner.command(PauseWorkflow(instance_id="i", command_id=""))
    runner.finish(attempt)
    return runner
