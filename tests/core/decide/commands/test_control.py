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


def play(*chain: Node) -> InstanceRunner:
    return InstanceRunner(Graph(name="w", chain=chain))


def withdrawn(path: str, attempt: int = 1) -> Outcome:
    return Outcome(
        instance_id="i", run=1, path=path, attempt=attempt, result="withdrawn"
    )


def code(game: InstanceRunner, command: Command) -> str:
    body = game.command(command)[0].body
    return body.code if isinstance(body, CommandRejected | CommandAcknowledged) else ""


@pytest.mark.parametrize(
    "node",
    [DelayNode(id="n", duration_ms=99), SignalNode(id="n", signal="ok")],
)
def test_a_parked_instance_is_cancelled_at_once(node: Node) -> None:
    game = play(node)
    game.start()
    events = game.command(CANCEL)
    assert events[-1].body == WorkflowCancelled(
        reason="why", requested_by="ana", interrupted_at=("n",)
    )
    assert game.header.phase == "cancelled"


def test_a_cancel_waits_for_what_runs_and_keeps_its_result() -> None:
    game = play(TaskNode(id="a"), TaskNode(id="b"))
    game.start()
    attempt = game.owed()[0]
    game.begin(attempt)
    assert [e.kind for e in game.command(CANCEL)] == ["CancelRequested"]
    events = game.finish(attempt)
    assert [e.kind for e in events] == ["TaskCompleted", "WorkflowCancelled"]
    assert events[-1].body.interrupted_at == ()  # type: ignore[union-attr]
    assert game.rows.get("vresult:a") == b"1"


def test_a_failure_under_a_cancel_is_final_and_the_run_is_cancelled() -> None:
    game = play(TaskNode(id="a", retry=Retry(max_retries=5)))
    game.tasks["a"] = lambda _data, _attempt: "no"
    game.start()
    attempt = game.owed()[0]
    game.begin(attempt)
    game.command(CANCEL)
    assert [e.kind for e in game.finish(attempt)] == ["TaskFailed", "WorkflowCancelled"]


def test_a_backoff_ends_at_once_when_cancelled() -> None:
    game = play(TaskNode(id="a", retry=Retry(max_retries=5)))
    game.tasks["a"] = lambda _data, _attempt: "no"
    game.start()
    game.step()
    assert game.kinds()[-1] == "RetryRecorded"
    game.command(CANCEL)
    assert game.kinds()[-1] == "WorkflowCancelled"


def test_a_new_owner_cancels_what_the_old_one_left_running() -> None:
    game = play(TaskNode(id="a", timeout_ms=1000))
    game.start()
    game.begin(game.owed()[0])
    game.command(CANCEL)
    game.crash()
    assert game.kinds()[-3:] == [
        "AttemptWithdrawn",
        "DeadlineCleared",
        "WorkflowCancelled",
    ]
    assert game.events[-1].cause == f"takeover:{game.claim}"
    assert game.executions == []


def test_a_pause_records_the_outcome_and_holds_the_next_move() -> None:
    game = play(TaskNode(id="a"), TaskNode(id="b"))
    game.start()
    attempt = game.owed()[0]
    game.begin(attempt)
    game.command(PAUSE)
    events = game.finish(attempt)
    assert [e.kind for e in events] == ["TaskCompleted", "WorkflowPaused"]
    assert events[-1].body == WorkflowPaused(reason="lunch", requested_by="bo")
    assert game.owed() == []
    events = game.command(UNPAUSE)
    assert [e.kind for e in events] == ["WorkflowUnpaused", "PositionUpdated"]
    game.run()
    assert game.header.phase == "completed"


def test_the_end_of_a_workflow_waits_for_the_unpause() -> None:
    game = play(TaskNode(id="a"))
    game.start()
    attempt = game.owed()[0]
    game.begin(attempt)
    game.command(PAUSE)
    game.finish(attempt)
    assert game.header.phase == "paused"
    events = game.command(UNPAUSE)
    assert [e.kind for e in events] == ["WorkflowUnpaused", "WorkflowCompleted"]


def test_a_withdrawn_attempt_is_owed_again_after_the_unpause() -> None:
    game = play(TaskNode(id="a"))
    game.start()
    game.command(PAUSE)
    events = game.decide(withdrawn("a"))
    assert [e.kind for e in events] == ["AttemptWithdrawn", "WorkflowPaused"]
    game.command(UNPAUSE)
    owed = game.owed()
    assert [(o.path, o.attempt) for o in owed] == [("a", 1)]
    game.command(PAUSE)
    assert game.kinds()[-1] == "PauseRequested"


def test_an_unpause_revokes_a_pause_that_is_only_requested() -> None:
    game = play(TaskNode(id="a"))
    game.start()
    attempt = game.owed()[0]
    game.begin(attempt)
    game.command(PAUSE)
    game.command(UNPAUSE)
    game.finish(attempt)
    assert game.header.phase == "completed"


def test_a_signal_is_kept_while_paused_and_consumed_at_the_unpause() -> None:
    game = play(SignalNode(id="s", signal="ok"))
    game.start()
    game.command(PAUSE)
    assert game.header.phase == "paused"
    sent = SendSignal(instance_id="i", command_id="", signal="ok", payload=b"3")
    assert [e.kind for e in game.command(sent)] == ["SignalReceived"]
    assert [e.kind for e in game.command(UNPAUSE)] == [
        "WorkflowUnpaused",
        "SignalConsumed",
        "WorkflowCompleted",
    ]


def test_clocks_go_on_while_paused() -> None:
    game = play(DelayNode(id="d", duration_ms=1000))
    game.start()
    due_at = game.now + 1000
    game.command(PAUSE)
    assert not game.fire()
    game.now += 5000
    game.command(UNPAUSE)
    assert game.fire()
    assert game.events[-2].cause == f"timer:d@{due_at}"
    assert game.header.phase == "completed"


def test_a_deadline_fires_under_a_requested_pause() -> None:
    game = play(TaskNode(id="a", timeout_ms=1000, retry=Retry(max_retries=1)))
    game.start()
    game.begin(game.owed()[0])
    game.command(PAUSE)
    assert game.fire()
    assert game.kinds()[-2:] == ["RetryRecorded", "WorkflowPaused"]


def test_a_failure_under_a_requested_pause_fails_the_run() -> None:
    game = play(TaskNode(id="a"))
    game.tasks["a"] = lambda _data, _attempt: "no"
    game.start()
    attempt = game.owed()[0]
    game.begin(attempt)
    game.command(PAUSE)
    assert [e.kind for e in game.finish(attempt)] == ["TaskFailed", "WorkflowFailed"]


def test_a_new_owner_pauses_what_the_old_one_left_running() -> None:
    game = play(TaskNode(id="a"))
    game.start()
    game.begin(game.owed()[0])
    game.command(PAUSE)
    game.crash()
    assert game.kinds()[-2:] == ["AttemptWithdrawn", "WorkflowPaused"]
    assert game.executions == []


def test_cancel_wins_over_pause() -> None:
    game = play(TaskNode(id="a"))
    game.start()
    attempt = game.owed()[0]
    game.begin(attempt)
    game.command(PAUSE)
    game.command(CANCEL)
    game.finish(attempt)
    assert game.header.phase == "cancelled"


def test_a_paused_instance_is_cancelled_at_once() -> None:
    game = play(TaskNode(id="a"))
    game.start()
    game.command(PAUSE)
    game.decide(withdrawn("a"))
    assert game.kinds()[-1] == "WorkflowPaused"
    game.command(CANCEL)
    assert game.header.phase == "cancelled"
    assert game.kinds()[-1] == "WorkflowCancelled"


def test_the_table_of_commands_and_states_holds() -> None:
    game = play(TaskNode(id="a"))
    assert [code(game, c) for c in (CANCEL, PAUSE, UNPAUSE)] == ["not_found"] * 3
    game.start()
    assert code(game, UNPAUSE) == "not_paused"
    game.command(PAUSE)
    assert code(game, PAUSE) == "unchanged"
    game.command(CANCEL)
    assert code(game, CANCEL) == "unchanged"
    assert code(game, PAUSE) == "unchanged"
    assert code(game, UNPAUSE) == "not_paused"
    game.decide(withdrawn("a"))
    assert game.header.phase == "cancelled"
    assert code(game, CANCEL) == "unchanged"
    assert code(game, PAUSE) == "terminal"
    assert code(game, UNPAUSE) == "not_paused"


def test_a_completed_instance_takes_no_cancel() -> None:
    game = play(TaskNode(id="a"))
    game.start()
    game.run()
    assert code(game, CANCEL) == "terminal"
    assert code(game, PAUSE) == "terminal"
