"""Tries: what a body's failure does, and what stands behind it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.graph.catching import catches
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
    TryNode,
)
from sayiir_es.core.graph.references import result_of
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    PauseWorkflow,
    RetryWorkflow,
    SendSignal,
    UnpauseWorkflow,
)
from sayiir_es.core.model.events import ErrorCaught, OutcomeRejected, WorkflowFailed
from sayiir_es.core.model.inputs import Outcome, TimerDue
from sayiir_es.core.model.limits import Limits
from tests.core.forked_runner import fork
from tests.core.instance_runner import InstanceRunner

if TYPE_CHECKING:
    from sayiir_es.core.decide.owed import OwedAttempt

A, B = TaskNode(id="a"), TaskNode(id="b")
HANDLER = TaskNode(id="h")
BEHIND = TaskNode(id="z")


def no(_data: bytes, _attempt: int) -> str:
    """A task that fails."""
    return "ValueError: no"


def attempt(*body: Node, errors: tuple[str, ...] = (), name: str = "t") -> TryNode:
    return TryNode(id=name, body=body, handler=(HANDLER,), errors=errors)


def runner_of(*chain: Node, fails: tuple[str, ...] = ("t/@body/a",)) -> InstanceRunner:
    return InstanceRunner(Graph(name="w", chain=chain), tasks=dict.fromkeys(fails, no))


def caught_at(path: str, task: str, data: object) -> object:
    """What a handler is told of a failed task."""
    error = {"type": "ValueError", "message": "no", "task": task, "path": path}
    return {"error": error, "input": data}


def failed(attempt: OwedAttempt, *bases: str) -> Outcome:
    return Outcome(
        instance_id="i",
        run=attempt.run,
        path=attempt.path,
        attempt=attempt.attempt,
        result="failed",
        error_type=bases[0].rpartition(".")[2],
        error="no",
        error_bases=bases,
    )


# --- a body, and what goes on ---------------------------------------------------------


def test_a_body_that_ends_well_passes_its_result_on() -> None:
    runner = runner_of(attempt(A), BEHIND, fails=())
    runner.start(b"5")
    runner.run()
    assert runner.kinds() == [
        "WorkflowStarted",
        "TryStarted",
        "PositionUpdated",
        "TaskCompleted",
        "TryCompleted",
        "PositionUpdated",
        "TaskCompleted",
        "WorkflowCompleted",
    ]
    assert runner.output == b"5"


def test_a_failure_opens_the_handler_with_the_error_and_the_input() -> None:
    runner = runner_of(attempt(A), BEHIND)
    runner.start(b"5")
    runner.step()
    assert runner.kinds()[-3:] == ["TaskFailed", "ErrorCaught", "PositionUpdated"]
    assert runner.events[-2].body == ErrorCaught(
        path="t",
        failed_path="t/@body/a",
        error_type="ValueError",
        error="ValueError: no",
    )
    runner.run()
    assert json.loads(runner.output or b"") == caught_at("t/@body/a", "a", 5)


def test_what_was_caught_flows_on_behind_what_passes_it_on() -> None:
    nap = DelayNode(id="d", duration_ms=10)
    tried = TryNode(id="t", body=(B, A), handler=(nap,))
    runner = runner_of(tried, DelayNode(id="e", duration_ms=10), BEHIND)
    runner.start(b"5")
    runner.run()
    assert json.loads(runner.output or b"") == caught_at("t/@body/a", "a", 5)


def test_retries_come_first() -> None:
    again = TaskNode(id="a", retry=Retry(max_retries=2, initial_delay_ms=1))
    runner = runner_of(attempt(again))
    runner.start()
    for _ in range(3):
        runner.now += 100
        assert runner.step()
    assert runner.kinds()[1:-1] == [
        "TryStarted",
        "PositionUpdated",
        "RetryRecorded",
        "RetryRecorded",
        "TaskFailed",
        "ErrorCaught",
    ]


def test_a_failure_of_the_handler_goes_outwards() -> None:
    runner = runner_of(attempt(A), fails=("t/@body/a", "t/@on_error/h"))
    runner.start()
    runner.run()
    body = runner.events[-1].body
    assert isinstance(body, WorkflowFailed)
    assert body.path == "t/@on_error/h"


def test_a_failure_of_a_handler_is_caught_by_the_try_around_it() -> None:
    inner = attempt(A, name="in")
    runner = runner_of(
        attempt(inner), fails=("t/@body/in/@body/a", "t/@body/in/@on_error/h")
    )
    runner.start(b"5")
    runner.run()
    expected = caught_at("t/@body/in/@on_error/h", "h", 5)
    assert json.loads(runner.output or b"") == expected


def test_the_innermost_try_that_wants_the_error_catches_it() -> None:
    inner = attempt(A, name="in", errors=("timeout", "builtins.KeyError"))
    runner = runner_of(attempt(inner), fails=("t/@body/in/@body/a",))
    runner.start()
    runner.run()
    [caught] = [e.body for e in runner.events if isinstance(e.body, ErrorCaught)]
    assert caught.path == "t"
    assert runner.header.phase == "completed"


def test_what_nobody_wants_fails_the_run_and_a_retry_goes_on_in_the_body() -> None:
    runner = runner_of(attempt(A, errors=("timeout",)))
    runner.start()
    runner.run()
    assert runner.kinds()[-2:] == ["TaskFailed", "WorkflowFailed"]
    runner.tasks.clear()
    runner.command(RetryWorkflow(instance_id="i", command_id=""))
    runner.run()
    assert runner.output == b"1"


# --- which errors ---------------------------------------------------------------------

KEY_ERROR = ("builtins.KeyError", "builtins.LookupError", "builtins.Exception")


@pytest.mark.parametrize(
    ("errors", "error_type", "bases", "expected"),
    [
        ((), "KeyError", KEY_ERROR, True),
        (("builtins.LookupError",), "KeyError", KEY_ERROR, True),
        (("builtins.ValueError",), "KeyError", KEY_ERROR, False),
        (("shop.KeyError",), "KeyError", KEY_ERROR, False),
        (("timeout",), "timeout", (), True),
        (("builtins.TimeoutError",), "timeout", (), True),
        (("builtins.OSError",), "timeout", (), True),
        (("builtins.ValueError",), "timeout", (), False),
        (("builtins.Exception",), "worker_lost", (), True),
        (("timeout",), "worker_lost", (), False),
        (("encode",), "encode", ("sayiir_es.EncodeError",), True),
    ],
)
def test_an_error_is_wanted_by_its_classes_or_the_word_for_it(
    errors: tuple[str, ...], error_type: str, bases: tuple[str, ...], *, expected: bool
) -> None:
    assert catches(errors, error_type, bases) is expected


def test_a_subclass_is_caught_by_what_the_event_says() -> None:
    runner = runner_of(attempt(A, errors=("builtins.LookupError",)))
    runner.start()
    [owed] = runner.owed()
    runner.begin(owed)
    runner.decide(failed(owed, *KEY_ERROR))
    assert runner.kinds()[-2:] == ["ErrorCaught", "PositionUpdated"]


def test_a_timed_out_attempt_is_caught() -> None:
    timed = TaskNode(id="a", timeout_ms=50)
    runner = runner_of(attempt(timed, errors=("builtins.TimeoutError",)))
    runner.start()
    [owed] = runner.owed()
    runner.begin(owed)
    assert runner.fire()
    assert runner.kinds()[-3:] == ["TaskFailed", "ErrorCaught", "PositionUpdated"]


def test_a_signal_that_did_not_come_is_caught() -> None:
    wait = SignalNode(id="s", signal="s", timeout_ms=50, on_timeout="fail")
    runner = runner_of(attempt(wait, errors=("signal_timeout",)))
    runner.start()
    assert runner.fire()
    assert runner.kinds()[-3:] == ["SignalTimedOut", "ErrorCaught", "PositionUpdated"]


def test_a_loop_without_a_further_iteration_is_caught_and_its_rows_stay_out() -> None:
    loop = LoopNode(id="l", body=(A,), max_iterations=1)
    runner = runner_of(attempt(loop, errors=("max_iterations",)), fails=())
    runner.start()
    [owed] = runner.owed()
    again = replace(
        failed(owed, "x"), result="completed", output=b"7", loop="again", error_type=""
    )
    runner.decide(again)
    assert runner.kinds()[-3:] == ["LoopIterated", "ErrorCaught", "PositionUpdated"]


# --- what else stands in the body -----------------------------------------------------


def side_by_side(*other: Node) -> InstanceRunner:
    """A body of two branches, of which the task of one fails."""
    branches = (Branch(name="x", chain=other), Branch(name="y", chain=(A,)))
    body = (ForkNode(id="f", branches=branches), TaskNode(id="j"))
    runner = runner_of(attempt(*body), BEHIND, fails=("t/@body/f/y/a",))
    runner.start(b"5")
    return runner


def test_what_runs_beside_counts_no_more() -> None:
    runner = side_by_side(B)
    beside, fails = runner.owed()
    runner.begin(beside)
    runner.begin(fails)
    runner.finish(fails)
    [rejected] = runner.finish(beside)
    assert rejected.body == OutcomeRejected(
        path="t/@body/f/x/b", attempt=1, reason="late"
    )
    runner.run()
    assert runner.header.phase == "completed"


def test_a_deadline_beside_does_not_fire() -> None:
    runner = side_by_side(TaskNode(id="b", timeout_ms=50))
    beside, fails = runner.owed()
    runner.begin(beside)
    due_at = runner.now + 50
    runner.finish(fails)
    runner.now = due_at
    chain = "t/@body/f/x"
    assert runner.decide(TimerDue(instance_id="i", chain=chain, due_at=due_at)) == []


def test_a_wait_beside_takes_no_signal_any_more() -> None:
    runner = side_by_side(SignalNode(id="s", signal="ok"))
    runner.run()
    assert runner.header.phase == "completed"
    runner = side_by_side(SignalNode(id="s", signal="ok"))
    runner.step()
    events = runner.command(
        SendSignal(instance_id="i", command_id="", signal="ok", payload=b"1")
    )
    assert [event.kind for event in events] == ["SignalReceived"]


def test_results_of_the_body_stay() -> None:
    runner = runner_of(attempt(B, A), BEHIND)
    runner.start(b"5")
    runner.run()
    assert result_of(runner.rows, runner.graph, "t/@body/b") == b"5"
    tried = result_of(runner.rows, runner.graph, "t")
    assert tried == runner.output


# --- requests, crashes, cuts ----------------------------------------------------------


def test_a_pause_holds_the_handler_back() -> None:
    runner = runner_of(attempt(A))
    runner.start()
    [owed] = runner.owed()
    runner.begin(owed)
    runner.command(PauseWorkflow(instance_id="i", command_id=""))
    runner.finish(owed)
    assert runner.kinds()[-3:] == ["TaskFailed", "ErrorCaught", "WorkflowPaused"]
    runner.crash()
    runner.command(UnpauseWorkflow(instance_id="i", command_id=""))
    assert runner.events[-1].kind == "PositionUpdated"
    runner.run()
    assert runner.header.phase == "completed"


def test_behind_a_cancel_nothing_is_caught() -> None:
    runner = runner_of(attempt(A))
    runner.start()
    [owed] = runner.owed()
    runner.begin(owed)
    runner.command(CancelWorkflow(instance_id="i", command_id=""))
    runner.finish(owed)
    assert runner.kinds()[-2:] == ["TaskFailed", "WorkflowCancelled"]


def test_a_retry_of_a_run_that_failed_in_a_handler_goes_on_there() -> None:
    runner = runner_of(attempt(A), fails=("t/@body/a", "t/@on_error/h"))
    runner.start(b"5")
    runner.run()
    del runner.tasks["t/@on_error/h"]
    runner.command(RetryWorkflow(instance_id="i", command_id=""))
    runner.run()
    assert runner.executions.count(("t/@body/a", 1)) == 1
    assert json.loads(runner.output or b"") == caught_at("t/@body/a", "a", 5)


def test_a_decision_is_never_cut_between_a_failure_and_what_catches_it() -> None:
    runner = runner_of(attempt(A), BEHIND)
    runner.limits = Limits(decision_events=1)
    runner.start()
    runner.run()
    assert runner.header.phase == "completed"
    causes = {event.kind: event.cause for event in runner.events}
    assert causes["ErrorCaught"] == causes["TaskFailed"]
    handler = next(e for e in runner.events if "@on_error" in str(e.body))
    assert handler.cause.startswith("owed:")


def test_of_several_lost_attempts_each_is_caught_where_it_stands() -> None:
    def branch(name: str) -> Branch:
        return Branch(name=name, chain=(attempt(A, errors=("worker_lost",)),))

    beside = ForkNode(id="f", branches=(branch("x"), branch("y")))
    inner = Branch(name="z", chain=(A,))
    body = ForkNode(id="g", branches=(inner, inner))
    last = attempt(body, TaskNode(id="j"), name="u")
    both = (Branch(name="v", chain=(beside, TaskNode(id="k"))),)
    outer = ForkNode(id="o", branches=(*both, Branch(name="w", chain=(last,))))
    runner = runner_of(outer, BEHIND, fails=())
    runner.start(b"5")
    for _ in range(runner.limits.max_restarts):
        runner.crash_in_attempt()
    assert "ErrorCaught" not in runner.kinds()
    runner.take_over()
    caught = [e.body.path for e in runner.events if isinstance(e.body, ErrorCaught)]
    assert caught == ["o/v/f/x/t", "o/v/f/y/t", "o/w/u"]
    runner.run()
    assert runner.header.phase == "completed"


@pytest.mark.parametrize("kind", ["TaskFailed", "ErrorCaught", "TryStarted"])
def test_a_fork_goes_on_from_a_failure_as_its_source_did(kind: str) -> None:
    source = runner_of(attempt(A), BEHIND)
    source.start(b"5")
    source.run()
    at = source.kinds().index(kind) + 1
    copy = InstanceRunner(source.graph, tasks=source.tasks)
    fork(copy, source.events, at)
    copy.run()
    assert copy.output == source.output


def test_a_loop_ends_by_what_a_handler_says() -> None:
    loop = LoopNode(id="l", body=(attempt(A),))
    graph = Graph(name="w", chain=(loop,))
    assert graph.places["l/t/@body/a"].ends_loop
    assert graph.places["l/t/@on_error/h"].ends_loop
    runner = InstanceRunner(graph, tasks={"l@0/t/@body/a": no})
    runner.start(b"5")
    runner.step()
    [owed] = runner.owed()
    assert owed.path == "l@0/t/@on_error/h"
    done = replace(
        failed(owed, "x"), result="completed", output=b"7", loop="done", error_type=""
    )
    runner.decide(done)
    assert runner.output == b"7"
    assert not list(runner.rows.keys("a"))
