"""A failed run, retried, goes on where it failed: nothing that ended is done again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import (
    Branch,
    ChildNode,
    DelayNode,
    ForkNode,
    LoopNode,
    Node,
    Retry,
    RouteNode,
    SignalNode,
    TaskNode,
)
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    PauseWorkflow,
    RetryWorkflow,
    SendSignal,
)
from sayiir_es.core.model.events import CommandRejected, DelayStarted, WorkflowRetried
from sayiir_es.core.model.rows import get_cursor
from sayiir_es.core.model.waits import Sleeping
from tests.core.instance_runner import InstanceRunner
from tests.core.nodes.test_constructs import ProgramRunner

if TYPE_CHECKING:
    from sayiir_es.core.decide.owed import OwedAttempt
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.inputs import Outcome

RETRY = RetryWorkflow(instance_id="i", command_id="")
QUIET = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def chain(*nodes: Node) -> Graph:
    return Graph(name="w", chain=nodes)


def fails(_: bytes, __: int) -> str:
    return "broken"


def phase(game: InstanceRunner) -> str:
    return game.header.phase


def code(events: list[Event]) -> str:
    body = events[-1].body
    assert isinstance(body, CommandRejected)
    return body.code


# --- what may be retried --------------------------------------------------------------


def test_what_has_not_failed_is_not_retried() -> None:
    game = InstanceRunner(chain(TaskNode(id="a")))
    assert code(game.command(RETRY)) == "not_found"
    game.start()
    assert code(game.command(RETRY)) == "not_failed"
    game.command(PauseWorkflow(instance_id="i", command_id=""))
    assert code(game.command(RETRY)) == "not_failed"
    game.crash()
    assert phase(game) == "paused"
    game.command(CancelWorkflow(instance_id="i", command_id=""))
    assert phase(game) == "cancelled"
    assert code(game.command(RETRY)) == "not_failed"


def test_a_retry_that_comes_twice_is_answered_once() -> None:
    game = InstanceRunner(chain(TaskNode(id="a")), tasks={"a": fails})
    game.start()
    game.run()
    named = replace(RETRY, command_id="again-1")
    game.command(named)
    game.run()
    assert game.command(named)[-1].kind == "CommandAcknowledged"
    assert game.kinds().count("WorkflowRetried") == 1


# --- where it goes on -----------------------------------------------------------------


def test_the_task_that_failed_runs_again_and_none_before_it() -> None:
    retried = TaskNode(id="b", retry=Retry(max_retries=1))
    game = InstanceRunner(
        chain(TaskNode(id="a"), retried, TaskNode(id="c")), tasks={"b": fails}
    )
    game.start()
    game.run()
    assert (phase(game), game.header.run) == ("failed", 1)
    del game.tasks["b"]
    (event,) = game.command(RETRY)
    assert isinstance(event.body, WorkflowRetried)
    assert (event.run, phase(game)) == (2, "running")
    game.run()
    assert game.output == b"1"
    ran = [("a", 1), ("b", 1), ("b", 2), ("b", 1), ("c", 1)]
    assert game.executions == ran


def test_it_can_fail_and_be_retried_again_and_again() -> None:
    game = InstanceRunner(chain(TaskNode(id="a")), tasks={"a": fails})
    game.start()
    for run in (1, 2, 3):
        game.run()
        assert (phase(game), game.header.run) == ("failed", run)
        game.command(RETRY)
    del game.tasks["a"]
    game.run()
    assert (phase(game), game.header.run) == ("completed", 4)


def test_an_outcome_of_the_failed_run_does_not_count_in_the_next() -> None:
    game = InstanceRunner(
        chain(fork("f", "a", "b"), TaskNode(id="j")), tasks={"f/x/a": fails}
    )
    game.start()
    slow = next(owed for owed in game.owed() if owed.path == "f/y/b")
    game.step()
    assert phase(game) == "failed"
    game.command(RETRY)
    assert game.finish(slow)[-1].kind == "OutcomeRejected"


def fork(name: str, first: str, second: str | Node) -> ForkNode:
    other = TaskNode(id=second) if isinstance(second, str) else second
    return ForkNode(
        id=name,
        branches=(
            Branch(name="x", chain=(TaskNode(id=first),)),
            Branch(name="y", chain=(other,)),
        ),
    )


def test_a_delay_beside_the_failure_ends_when_it_would_have() -> None:
    graph = chain(
        fork("f", "a", DelayNode(id="d", duration_ms=5_000)), TaskNode(id="j")
    )
    game = InstanceRunner(graph, tasks={"f/x/a": fails})
    game.start()
    started = next(
        event.body for event in game.events if isinstance(event.body, DelayStarted)
    )
    game.step()
    game.now += 3_000
    game.command(RETRY)
    cursor = get_cursor(game.rows, "f/y")
    assert cursor is not None
    assert cursor.wait == Sleeping(due_at=started.due_at)
    del game.tasks["f/x/a"]
    game.run()
    assert phase(game) == "completed"
    assert game.now == started.due_at


def test_a_wait_whose_time_out_fails_the_run_has_all_of_its_time_again() -> None:
    wait = SignalNode(id="s", signal="go", timeout_ms=1_000, on_timeout="fail")
    game = InstanceRunner(chain(TaskNode(id="a"), wait, TaskNode(id="b")))
    game.start()
    game.run()
    assert phase(game) == "failed"
    kinds = [event.kind for event in game.command(RETRY)]
    assert kinds == ["WorkflowRetried", "SignalAwaited"]
    game.command(
        SendSignal(instance_id="i", command_id="", signal="go", payload=b'"went"')
    )
    game.run()
    assert game.output == b'"went"'


def test_a_loop_that_found_no_end_begins_at_its_first_iteration() -> None:
    loop = LoopNode(id="l", body=(TaskNode(id="n-9"),), max_iterations=3, on_max="fail")
    game = ProgramRunner(chain(loop))
    game.start()
    game.run()
    assert phase(game) == "failed"
    kinds = [event.kind for event in game.command(RETRY)]
    assert kinds == ["WorkflowRetried", "LoopStarted", "PositionUpdated"]
    assert [owed.path for owed in game.owed()] == ["l@0/n-9"]
    assert not list(game.rows.keys("vvalue:"))


class Unmarked(ProgramRunner):
    """Its loop's body ends without a mark until it is told to give one."""

    marks = False

    def outcome(self, attempt: OwedAttempt) -> Outcome:
        """As the model says, but for the mark."""
        found = super().outcome(attempt)
        return found if self.marks else replace(found, loop="none")


def test_a_loop_whose_body_gave_no_mark_begins_at_its_first_iteration() -> None:
    loop = LoopNode(id="l", body=(TaskNode(id="n-1"),), max_iterations=9, on_max="fail")
    game = Unmarked(chain(loop))
    game.start()
    game.run()
    assert phase(game) == "failed"
    game.marks = True
    game.command(RETRY)
    assert list(game.rows.keys("cl@")) == ["cl@0"]
    game.run()
    assert phase(game) == "completed"


def test_a_route_whose_key_nobody_took_is_asked_again() -> None:
    route = RouteNode(
        id="r", branches=(Branch(name="x", chain=(TaskNode(id="a"),)),), keys=("x",)
    )
    game = InstanceRunner(chain(route), tasks={"r": lambda _data, _attempt: b'"y"'})
    game.start()
    game.run()
    assert phase(game) == "failed"
    game.tasks["r"] = lambda _data, _attempt: b'"x"'
    game.command(RETRY)
    game.run()
    assert game.output is not None
    assert json.loads(game.output) == {"branch": "x", "result": 1}


def test_inside_a_child_it_goes_on_inside_the_child() -> None:
    inner = (TaskNode(id="a"), TaskNode(id="b"))
    graph = chain(ChildNode(id="c", workflow="v", chain=inner), TaskNode(id="a"))
    game = InstanceRunner(graph, tasks={"c/b": fails})
    game.start()
    game.run()
    del game.tasks["c/b"]
    game.command(RETRY)
    game.run()
    assert [path for path, _ in game.executions] == ["c/a", "c/b", "c/b", "a"]


@pytest.mark.parametrize("beside", ["signal", "delay"])
def test_what_waits_beside_the_failure_waits_on(beside: str) -> None:
    other: Node = SignalNode(id="s", signal="go")
    if beside == "delay":
        other = DelayNode(id="s", duration_ms=0)
    game = InstanceRunner(
        chain(fork("f", "a", other), TaskNode(id="j")), tasks={"f/x/a": fails}
    )
    game.start()
    game.step()
    assert phase(game) == "failed"
    del game.tasks["f/x/a"]
    game.command(RETRY)
    game.command(
        SendSignal(instance_id="i", command_id="", signal="go", payload=b'"went"')
    )
    game.run()
    assert phase(game) == "completed"
