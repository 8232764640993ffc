"""The time-out of a run: it ends whatever stands in it, and a retry has it anew."""

from __future__ import annotations

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import DelayNode, SignalNode, TaskNode
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    PauseWorkflow,
    RetryWorkflow,
    UnpauseWorkflow,
)
from sayiir_es.core.model.events import (
    InstanceReleased,
    WorkflowFailed,
    WorkflowRetried,
    WorkflowStarted,
)
from sayiir_es.core.model.inputs import DecisionFailed, TimerDue
from sayiir_es.core.nodes.run_deadline import timeout_text
from sayiir_es.core.status.status import status_of
from tests.core.forked_runner import fork
from tests.core.instance_runner import InstanceRunner

HOUR = 3_600_000
OUT_OF_TIME = WorkflowFailed(
    path="", error_type="timeout", error="Workflow 'w' timed out after 3600s"
)


def runner_of(*chain: TaskNode | DelayNode | SignalNode) -> InstanceRunner:
    runner = InstanceRunner(Graph(name="w", chain=chain, timeout_ms=HOUR))
    runner.start(b"5")
    return runner


WAIT = SignalNode(id="s", signal="ok")


def test_a_start_says_until_when_its_run_may_take() -> None:
    runner = runner_of(WAIT)
    started = runner.events[0].body
    assert isinstance(started, WorkflowStarted)
    assert started.deadline_at == runner.now + HOUR


def test_a_run_that_is_out_of_time_fails_at_no_node() -> None:
    runner = runner_of(WAIT)
    due_at = runner.now + HOUR
    assert runner.fire()
    assert runner.now == due_at
    assert runner.events[-1].body == OUT_OF_TIME
    assert runner.events[-1].cause == f"timer:@{due_at}"
    assert not runner.fire()


def test_a_run_that_ends_in_time_leaves_no_timer() -> None:
    runner = runner_of(TaskNode(id="a"))
    runner.run()
    assert runner.output == b"5"
    assert not runner.fire()
    assert runner.kinds()[-1] == "WorkflowCompleted"


def test_it_fires_while_an_attempt_runs_and_a_pause_waits_for_that() -> None:
    runner = runner_of(TaskNode(id="a"))
    [attempt] = runner.owed()
    runner.begin(attempt)
    runner.command(PauseWorkflow(instance_id="i", command_id=""))
    assert runner.fire()
    assert runner.events[-1].body == OUT_OF_TIME
    assert runner.finish(attempt)[0].kind == "OutcomeRejected"


def test_of_a_paused_run_it_fires_at_the_unpause() -> None:
    runner = runner_of(WAIT)
    runner.command(PauseWorkflow(instance_id="i", command_id=""))
    assert runner.kinds()[-1] == "WorkflowPaused"
    assert not runner.fire()
    runner.now += 2 * HOUR
    runner.command(UnpauseWorkflow(instance_id="i", command_id=""))
    assert runner.fire()
    assert runner.events[-1].body == OUT_OF_TIME


def test_a_requested_cancel_wins() -> None:
    runner = runner_of(TaskNode(id="a"))
    [attempt] = runner.owed()
    runner.begin(attempt)
    due_at = runner.now + HOUR
    runner.command(CancelWorkflow(instance_id="i", command_id=""))
    assert not runner.fire()
    runner.now = due_at
    assert runner.decide(TimerDue(instance_id="i", chain="%run", due_at=due_at)) == []
    runner.finish(attempt)
    assert runner.kinds()[-1] == "WorkflowCancelled"


def test_a_retry_has_all_of_its_time_again() -> None:
    runner = runner_of(WAIT)
    runner.fire()
    runner.now += HOUR
    runner.command(RetryWorkflow(instance_id="i", command_id=""))
    retried = runner.events[-1].body
    assert isinstance(retried, WorkflowRetried)
    assert retried.deadline_at == runner.now + HOUR
    runner.crash()
    assert runner.fire()
    assert runner.events[-1].body == OUT_OF_TIME


def test_a_retry_of_a_run_out_of_time_takes_no_input() -> None:
    runner = runner_of(WAIT)
    runner.fire()
    runner.command(RetryWorkflow(instance_id="i", command_id="", input=b"1"))
    assert runner.kinds()[-1] == "CommandRejected"


def test_a_release_from_quarantine_has_all_of_its_time_again() -> None:
    runner = runner_of(WAIT)
    runner.decide(
        DecisionFailed(
            instance_id="i", decided_on="a take-over", error_type="E", error="x"
        )
    )
    assert not runner.fire()
    runner.now += 2 * HOUR
    runner.command(RetryWorkflow(instance_id="i", command_id=""))
    released = runner.events[-1].body
    assert isinstance(released, InstanceReleased)
    assert released.deadline_at == runner.now + HOUR
    assert runner.fire()
    assert runner.events[-1].body == OUT_OF_TIME


def test_a_fork_keeps_the_time_that_was_recorded() -> None:
    source = runner_of(WAIT)
    copy = InstanceRunner(source.graph, now=source.now + 2 * HOUR)
    fork(copy, source.events, 2)
    assert copy.fire()
    assert copy.now == source.now + 2 * HOUR
    assert copy.events[-1].body == OUT_OF_TIME


def test_a_status_says_until_when() -> None:
    runner = runner_of(WAIT)
    status = status_of(runner.rows, "i", runner.graph)
    assert status is not None
    assert status.status == "awaiting_signal"
    assert status.waiting_for == (
        "signal 'ok' at 's'; the end of its time at 1970-01-01T01:16:40.000Z"
    )
    assert status.attempts == {}


def test_a_cancelled_run_was_interrupted_at_its_nodes_only() -> None:
    runner = runner_of(WAIT)
    runner.command(CancelWorkflow(instance_id="i", command_id=""))
    body = runner.events[-1].body
    assert getattr(body, "interrupted_at", None) == ("s",)


def test_a_run_whose_graph_has_no_time_out_any_more_says_no_length() -> None:
    """It has migrated, and keeps the end of its time."""
    assert timeout_text("w", None) == "Workflow 'w' timed out"
    assert timeout_text("w", 1500) == "Workflow 'w' timed out after 1500ms"
