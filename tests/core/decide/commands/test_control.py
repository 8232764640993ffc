"""Cancel, pause, unpause: held moves, withdrawn attempts, cancel wins."""

from __future__ import annotations

import pytest

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import DelayNode, Node, Retry, SignalNode, TaskNode
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    Command,
    PauseWorkflow,
    SendSignal,
    UnpauseWorkflow,
)
from sayiir_es.core.model.events import (
    CommandAcknowledged,
    CommandRejected,
    OutcomeRejected,
    WorkflowCancelled,
    WorkflowPaused,
)
from sayiir_es.core.model.inputs import Outcome
from tests.core.instance_runner import InstanceRunner

CANCEL = CancelWorkflow(
    instance_id="i", command_id="", reason="why", requested_by="ana"
)
PAUSE = PauseWorkflow(instance_id="i", command_id="", reason="lunch", requested_by="bo")
UNPAUSE = UnpauseWorkflow(instance_id="i", command_id="")


def runner_of(*chain: Node) -> InstanceRunner:
    return InstanceRunner(Graph(name="w", chain=chain))


def withdrawn(path: str, attempt: int = 1) -> Outcome:
    return Outcome(
        instance_id="i", run=1, path=path, attempt=attempt, result="withdrawn"
    )


def code(runner: InstanceRunner, command: Command) -> str:
    body = runner.command(command)[0].body
    return body.code if isinstance(body, CommandRejected | CommandAcknowledged) else ""


@pytest.mark.parametrize(
    "node",
    [DelayNode(id="n", duration_ms=99), SignalNode(id="n", signal="ok")],
)
def test_a_parked_instance_is_cancelled_at_once(node: Node) -> None:
    runner = runner_of(node)
    runner.start()
    events = runner.command(CANCEL)
    assert events[-1].body == WorkflowCancelled(
        reason="why", requested_by="ana", interrupted_at=("n",)
    )
    assert runner.header.phase == "cancelled"


def test_a_cancel_waits_for_what_runs_and_keeps_its_result() -> None:
    runner = runner_of(TaskNode(id="a"), TaskNode(id="b"))
    runner.start()
    attempt = runner.owed()[0]
    runner.begin(attempt)
    assert [e.kind for e in runner.command(CANCEL)] == ["CancelRequested"]
    events = runner.finish(attempt)
    assert [e.kind for e in events] == ["TaskCompleted", "WorkflowCancelled"]
    assert events[-1].body.interrupted_at == ()  # type: ignore[union-attr]
    assert runner.rows.get("vresult:a") == b"1"


def test_a_failure_under_a_cancel_is_final_and_the_run_is_cancelled() -> None:
    runner = runner_of(TaskNode(id="a", retry=Retry(max_retries=5)))
    runner.tasks["a"] = lambda _data, _attempt: "no"
    runner.start()
    attempt = runner.owed()[0]
    runner.begin(attempt)
    runner.command(CANCEL)
    assert [e.kind for e in runner.finish(attempt)] == [
        "TaskFailed",
        "WorkflowCancelled",
    ]


def test_a_backoff_ends_at_once_when_cancelled() -> None:
    runner = runner_of(TaskNode(id="a", retry=Retry(max_retries=5)))
    runner.tasks["a"] = lambda _data, _attempt: "no"
    runner.start()
    runner.step()
    assert runner.kinds()[-1] == "RetryRecorded"
    runner.command(CANCEL)
    assert runner.kinds()[-1] == "WorkflowCancelled"


def test_a_new_owner_cancels_what_the_old_one_left_running() -> None:
    runner = runner_of(TaskNode(id="a", timeout_ms=1000))
    runner.start()
    runner.begin(runner.owed()[0])
    runner.command(CANCEL)
    runner.crash()
    assert runner.kinds()[-3:] == [
        "AttemptWithdrawn",
        "DeadlineCleared",
        "WorkflowCancelled",
    ]
    assert runner.events[-1].cause == f"takeover:{runner.claim}"
    assert runner.executions == []


def test_a_pause_records_the_outcome_and_holds_the_next_move() -> None:
    runner = runner_of(TaskNode(id="a"), TaskNode(id="b"))
    runner.start()
    attempt = runner.owed()[0]
    runner.begin(attempt)
    runner.command(PAUSE)
    events = runner.finish(attempt)
    assert [e.kind for e in events] == ["TaskCompleted", "WorkflowPaused"]
    assert events[-1].body == WorkflowPaused(reason="lunch", requested_by="bo")
    assert runner.owed() == []
    events = runner.command(UNPAUSE)
    assert [e.kind for e in events] == ["WorkflowUnpaused", "PositionUpdated"]
    runner.run()
    assert runner.header.phase == "completed"


def test_the_end_of_a_workflow_waits_for_the_unpause() -> None:
    runner = runner_of(TaskNode(id="a"))
    runner.start()
    attempt = runner.owed()[0]
    runner.begin(attempt)
    runner.command(PAUSE)
    runner.finish(attempt)
    assert runner.header.phase == "paused"
    events = runner.command(UNPAUSE)
    assert [e.kind for e in events] == ["WorkflowUnpaused", "WorkflowCompleted"]


def test_an_execution_that_went_on_behind_its_withdrawal_does_not_count() -> None:
    runner = runner_of(TaskNode(id="a", timeout_ms=1000))
    runner.start()
    [attempt] = runner.owed()
    runner.begin(attempt)
    runner.command(PAUSE)
    runner.decide(withdrawn("a"))
    runner.command(UNPAUSE)
    late = Outcome(
        instance_id="i", run=1, path="a", attempt=1, result="completed", output=b"1"
    )
    # Wanted again, but not begun again: no deadline stands.
    assert runner.decide(late)[0].body == OutcomeRejected(
        path="a", attempt=1, reason="late"
    )
    assert [(owed.path, owed.attempt) for owed in runner.owed()] == [("a", 1)]


def test_a_withdrawn_attempt_is_owed_again_after_the_unpause() -> None:
    runner = runner_of(TaskNode(id="a"))
    runner.start()
    runner.command(PAUSE)
    events = runner.decide(withdrawn("a"))
    assert [e.kind for e in events] == ["AttemptWithdrawn", "WorkflowPaused"]
    runner.command(UNPAUSE)
    owed = runner.owed()
    assert [(o.path, o.attempt) for o in owed] == [("a", 1)]
    runner.command(PAUSE)
    assert runner.kinds()[-1] == "PauseRequested"


def test_an_unpause_revokes_a_pause_that_is_only_requested() -> None:
    runner = runner_of(TaskNode(id="a"))
    runner.start()
    attempt = runner.owed()[0]
    runner.begin(attempt)
    runner.command(PAUSE)
    runner.command(UNPAUSE)
    runner.finish(attempt)
    assert runner.header.phase == "completed"


def test_a_signal_is_kept_while_paused_and_consumed_at_the_unpause() -> None:
    runner = runner_of(SignalNode(id="s", signal="ok"))
    runner.start()
    runner.command(PAUSE)
    assert runner.header.phase == "paused"
    sent = SendSignal(instance_id="i", command_id="", signal="ok", payload=b"3")
    assert [e.kind for e in runner.command(sent)] == ["SignalReceived"]
    assert [e.kind for e in runner.command(UNPAUSE)] == [
        "WorkflowUnpaused",
        "SignalConsumed",
        "WorkflowCompleted",
    ]


def test_clocks_go_on_while_paused() -> None:
    runner = runner_of(DelayNode(id="d", duration_ms=1000))
    runner.start()
    due_at = runner.now + 1000
    runner.command(PAUSE)
    assert not runner.fire()
    runner.now += 5000
    runner.command(UNPAUSE)
    assert runner.fire()
    assert runner.events[-2].cause == f"timer:d@{due_at}"
    assert runner.header.phase == "completed"


def test_a_deadline_fires_under_a_requested_pause() -> None:
    runner = runner_of(TaskNode(id="a", timeout_ms=1000, retry=Retry(max_retries=1)))
    runner.start()
    runner.begin(runner.owed()[0])
    runner.command(PAUSE)
    assert runner.fire()
    assert runner.kinds()[-2:] == ["RetryRecorded", "WorkflowPaused"]


def test_a_failure_under_a_requested_pause_fails_the_run() -> None:
    runner = runner_of(TaskNode(id="a"))
    runner.tasks["a"] = lambda _data, _attempt: "no"
    runner.start()
    attempt = runner.owed()[0]
    runner.begin(attempt)
    runner.command(PAUSE)
    assert [e.kind for e in runner.finish(attempt)] == ["TaskFailed", "WorkflowFailed"]


def test_a_new_owner_pauses_what_the_old_one_left_running() -> None:
    runner = runner_of(TaskNode(id="a"))
    runner.start()
    runner.begin(runner.owed()[0])
    runner.command(PAUSE)
    runner.crash()
    assert runner.kinds()[-2:] == ["AttemptWithdrawn", "WorkflowPaused"]
    assert runner.executions == []


def test_cancel_wins_over_pause() -> None:
    runner = runner_of(TaskNode(id="a"))
    runner.start()
    attempt = runner.owed()[0]
    runner.begin(attempt)
    runner.command(PAUSE)
    runner.command(CANCEL)
    runner.finish(attempt)
    assert runner.header.phase == "cancelled"


def test_a_paused_instance_is_cancelled_at_once() -> None:
    runner = runner_of(TaskNode(id="a"))
    runner.start()
    runner.command(PAUSE)
    runner.decide(withdrawn("a"))
    assert runner.kinds()[-1] == "WorkflowPaused"
    runner.command(CANCEL)
    assert runner.header.phase == "cancelled"
    assert runner.kinds()[-1] == "WorkflowCancelled"


def test_a_cancel_under_a_pause_does_not_wait_for_a_backoff_that_is_over() -> None:
    runner = runner_of(TaskNode(id="a", retry=Retry(max_retries=5)))
    runner.tasks["a"] = lambda _data, _attempt: "no"
    runner.start()
    runner.step()
    runner.command(PAUSE)
    assert runner.header.phase == "paused"
    runner.now += 3_600_000  # nothing begins while it is paused
    assert [e.kind for e in runner.command(CANCEL)] == [
        "CancelRequested",
        "WorkflowCancelled",
    ]


def test_the_table_of_commands_and_states_holds() -> None:
    runner = runner_of(TaskNode(id="a"))
    assert [code(runner, c) for c in (CANCEL, PAUSE, UNPAUSE)] == ["not_found"] * 3
    runner.start()
    assert code(runner, UNPAUSE) == "not_paused"
    runner.command(PAUSE)
    assert code(runner, PAUSE) == "unchanged"
    runner.command(CANCEL)
    assert code(runner, CANCEL) == "unchanged"
    assert code(runner, PAUSE) == "unchanged"
    assert code(runner, UNPAUSE) == "not_paused"
    runner.decide(withdrawn("a"))
    assert runner.header.phase == "cancelled"
    assert code(runner, CANCEL) == "unchanged"
    assert code(runner, PAUSE) == "terminal"
    assert code(runner, UNPAUSE) == "not_paused"


def test_a_completed_instance_takes_no_cancel() -> None:
    runner = runner_of(TaskNode(id="a"))
    runner.start()
    runner.run()
    assert code(runner, CANCEL) == "terminal"
    assert code(runner, PAUSE) == "terminal"
