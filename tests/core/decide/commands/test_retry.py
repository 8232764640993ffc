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
from sayiir_es.core.graph.references import resolve
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    PauseWorkflow,
    RetryWorkflow,
    SendSignal,
)
from sayiir_es.core.model.events import CommandRejected, DelayStarted, WorkflowRetried
from sayiir_es.core.model.rows import get_cursor
from sayiir_es.core.model.waits import Sleeping
from tests.core import forked_runner
from tests.core.instance_runner import InstanceRunner
from tests.core.nodes.test_constructs import ProgramRunner

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.decide.owed import OwedAttempt
    from sayiir_es.core.model.events import Event, LoopMark
    from sayiir_es.core.model.inputs import Outcome

RETRY = RetryWorkflow(instance_id="i", command_id="")
QUIET = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def chain(*nodes: Node) -> Graph:
    return Graph(name="w", chain=nodes)


def fails(_: bytes, __: int) -> str:
    return "broken"


def phase(runner: InstanceRunner) -> str:
    return runner.header.phase


def code(events: list[Event]) -> str:
    body = events[-1].body
    assert isinstance(body, CommandRejected)
    return body.code


# --- with another input ---------------------------------------------------------------

OTHER = RetryWorkflow(
    instance_id="i",
    command_id="",
    input=b'"other"',
    reason="a better one",
    requested_by="ana",
)


def seen_by(runner: InstanceRunner, *task_ids: str) -> list[tuple[str, bytes]]:
    """Let these tasks tell what they get, and fail unless it is another input."""
    seen: list[tuple[str, bytes]] = []

    def teller(task_id: str) -> Callable[[bytes, int], bytes | str]:
        def tell(data: bytes, _attempt: int) -> bytes | str:
            seen.append((task_id, data))
            return data if b"other" in data else "broken"

        return tell

    for task_id in task_ids:
        runner.tasks[task_id] = teller(task_id)
    return seen


class LoopRunner(ProgramRunner):
    """The body of a loop ends it when it got another input."""

    def outcome(self, attempt: OwedAttempt) -> Outcome:
        """Its input, with a mark."""
        data = resolve(self.rows, self.graph, attempt.input)
        loop: LoopMark = "done" if b"other" in data else "again"
        return replace(super().outcome(attempt), output=data, loop=loop)


def test_what_failed_gets_the_input_of_its_retry() -> None:
    runner = InstanceRunner(chain(TaskNode(id="a"), TaskNode(id="b"), TaskNode(id="c")))
    seen = seen_by(runner, "b", "c")
    runner.tasks["a"] = lambda _data, _attempt: b'"first"'
    runner.start()
    runner.run()
    events = runner.command(OTHER)
    assert events[0].body == WorkflowRetried(
        command_id="0@1",
        input=b'"other"',
        reason="a better one",
        requested_by="ana",
    )
    runner.crash()
    runner.run()
    assert seen == [("b", b'"first"'), ("b", b'"other"'), ("c", b'"other"')]
    assert runner.output == b'"other"'


def test_a_second_retry_without_an_input_keeps_the_one_of_the_first() -> None:
    runner = InstanceRunner(chain(TaskNode(id="a")))
    seen: list[bytes] = []

    def third_time(data: bytes, _attempt: int) -> bytes | str:
        seen.append(data)
        return data if len(seen) == 3 else "broken"

    runner.tasks["a"] = third_time
    runner.start()
    runner.run()
    for retry in (OTHER, RETRY):
        runner.command(retry)
        runner.run()
    assert seen[1:] == [b'"other"', b'"other"']


def test_a_branch_that_failed_gets_it_and_the_others_do_not() -> None:
    runner = InstanceRunner(chain(fork("f", "a", "b"), TaskNode(id="j")))
    seen = seen_by(runner, "f/x/a")
    runner.tasks["f/y/b"] = lambda _data, _attempt: b'"fine"'
    runner.start()
    runner.run()
    runner.command(OTHER)
    runner.run()
    assert [data for _, data in seen][-1] == b'"other"'
    assert runner.output == b'{"x":"other","y":"fine"}'


def test_a_loop_begins_again_with_it() -> None:
    loop = LoopNode(id="l", body=(TaskNode(id="a-1"),), max_iterations=1)
    runner = LoopRunner(chain(loop))
    runner.start()
    runner.run()
    assert phase(runner) == "failed"
    runner.command(OTHER)
    runner.run()
    assert runner.output == b'"other"'


def test_a_wait_takes_no_input() -> None:
    wait = SignalNode(id="s", signal="ok", timeout_ms=5, on_timeout="fail")
    runner = InstanceRunner(chain(wait))
    runner.start()
    runner.now += 10
    runner.run()
    assert phase(runner) == "failed"
    assert code(runner.command(OTHER)) == "bad_request"
    assert phase(runner) == "failed"


def test_the_fork_of_a_retried_instance_has_the_input_too() -> None:
    runner = InstanceRunner(chain(TaskNode(id="a"), TaskNode(id="b")))
    seen_by(runner, "a", "b")
    runner.start()
    runner.run()
    runner.command(OTHER)
    runner.run()
    first = 1 + runner.kinds().index("WorkflowRetried")
    for at in range(first, len(runner.events) + 1):
        forked = InstanceRunner(runner.graph, now=runner.now, commands=1_000)
        seen_by(forked, "a", "b")
        forked_runner.fork(forked, runner.events, at)
        forked.run()
        assert forked.output == b'"other"', at


# --- what may be retried --------------------------------------------------------------


def test_what_has_not_failed_is_not_retried() -> None:
    runner = InstanceRunner(chain(TaskNode(id="a")))
    assert code(runner.command(RETRY)) == "not_found"
    runner.start()
    assert code(runner.command(RETRY)) == "not_failed"
    runner.command(PauseWorkflow(instance_id="i", command_id=""))
    assert code(runner.command(RETRY)) == "not_failed"
    runner.crash()
    assert phase(runner) == "paused"
    runner.command(CancelWorkflow(instance_id="i", command_id=""))
    assert phase(runner) == "cancelled"
    assert code(runner.command(RETRY)) == "not_failed"


def test_a_retry_that_comes_twice_is_answered_once() -> None:
    runner = InstanceRunner(chain(TaskNode(id="a")), tasks={"a": fails})
    runner.start()
    runner.run()
    named = replace(RETRY, command_id="again-1")
    runner.command(named)
    runner.run()
    assert runner.command(named)[-1].kind == "CommandAcknowledged"
    assert runner.kinds().count("WorkflowRetried") == 1


# --- where it goes on -----------------------------------------------------------------


def test_the_task_that_failed_runs_again_and_none_before_it() -> None:
    retried = TaskNode(id="b", retry=Retry(max_retries=1))
    runner = InstanceRunner(
        chain(TaskNode(id="a"), retried, TaskNode(id="c")), tasks={"b": fails}
    )
    runner.start()
    runner.run()
    assert (phase(runner), runner.header.run) == ("failed", 1)
    del runner.tasks["b"]
    (event,) = runner.command(RETRY)
    assert isinstance(event.body, WorkflowRetried)
    assert (event.run, phase(runner)) == (2, "running")
    runner.run()
    assert runner.output == b"1"
    ran = [("a", 1), ("b", 1), ("b", 2), ("b", 1), ("c", 1)]
    assert runner.executions == ran


def test_it_can_fail_and_be_retried_again_and_again() -> None:
    runner = InstanceRunner(chain(TaskNode(id="a")), tasks={"a": fails})
    runner.start()
    for run in (1, 2, 3):
        runner.run()
        assert (phase(runner), runner.header.run) == ("failed", run)
        runner.command(RETRY)
    del runner.tasks["a"]
    runner.run()
    assert (phase(runner), runner.header.run) == ("completed", 4)


def test_an_outcome_of_the_failed_run_does_not_count_in_the_next() -> None:
    runner = InstanceRunner(
        chain(fork("f", "a", "b"), TaskNode(id="j")), tasks={"f/x/a": fails}
    )
    runner.start()
    slow = next(owed for owed in runner.owed() if owed.path == "f/y/b")
    runner.step()
    assert phase(runner) == "failed"
    runner.command(RETRY)
    assert runner.finish(slow)[-1].kind == "OutcomeRejected"


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
    runner = InstanceRunner(graph, tasks={"f/x/a": fails})
    runner.start()
    started = next(
        event.body for event in runner.events if isinstance(event.body, DelayStarted)
    )
    runner.step()
    runner.now += 3_000
    runner.command(RETRY)
    cursor = get_cursor(runner.rows, "f/y")
    assert cursor is not None
    assert cursor.wait == Sleeping(due_at=started.due_at)
    del runner.tasks["f/x/a"]
    runner.run()
    assert phase(runner) == "completed"
    assert runner.now == started.due_at


def test_a_wait_whose_time_out_fails_the_run_has_all_of_its_time_again() -> None:
    wait = SignalNode(id="s", signal="go", timeout_ms=1_000, on_timeout="fail")
    runner = InstanceRunner(chain(TaskNode(id="a"), wait, TaskNode(id="b")))
    runner.start()
    runner.run()
    assert phase(runner) == "failed"
    kinds = [event.kind for event in runner.command(RETRY)]
    assert kinds == ["WorkflowRetried", "SignalAwaited"]
    runner.command(
        SendSignal(instance_id="i", command_id="", signal="go", payload=b'"went"')
    )
    runner.run()
    assert runner.output == b'"went"'


def test_a_loop_that_found_no_end_begins_at_its_first_iteration() -> None:
    loop = LoopNode(id="l", body=(TaskNode(id="n-9"),), max_iterations=3, on_max="fail")
    runner = ProgramRunner(chain(loop))
    runner.start()
    runner.run()
    assert phase(runner) == "failed"
    kinds = [event.kind for event in runner.command(RETRY)]
    assert kinds == ["WorkflowRetried", "LoopStarted", "PositionUpdated"]
    assert [owed.path for owed in runner.owed()] == ["l@0/n-9"]
    assert not list(runner.rows.keys("vvalue:"))


class Unmarked(ProgramRunner):
    """Its loop's body ends without a mark until it is told to give one."""

    marks = False

    def outcome(self, attempt: OwedAttempt) -> Outcome:
        """As the model says, but for the mark."""
        outcome = super().outcome(attempt)
        return outcome if self.marks else replace(outcome, loop="none")


def test_a_loop_whose_body_gave_no_mark_begins_at_its_first_iteration() -> None:
    loop = LoopNode(id="l", body=(TaskNode(id="n-1"),), max_iterations=9, on_max="fail")
    runner = Unmarked(chain(loop))
    runner.start()
    runner.run()
    assert phase(runner) == "failed"
    runner.marks = True
    runner.command(RETRY)
    assert list(runner.rows.keys("cl@")) == ["cl@0"]
    runner.run()
    assert phase(runner) == "completed"


def test_a_route_whose_key_nobody_took_is_asked_again() -> None:
    route = RouteNode(
        id="r", branches=(Branch(name="x", chain=(TaskNode(id="a"),)),), keys=("x",)
    )
    runner = InstanceRunner(chain(route), tasks={"r": lambda _data, _attempt: b'"y"'})
    runner.start()
    runner.run()
    assert phase(runner) == "failed"
    runner.tasks["r"] = lambda _data, _attempt: b'"x"'
    runner.command(RETRY)
    runner.run()
    assert runner.output is not None
    assert json.loads(runner.output) == {"branch": "x", "result": 1}


def test_inside_a_child_it_goes_on_inside_the_child() -> None:
    inner = (TaskNode(id="a"), TaskNode(id="b"))
    graph = chain(ChildNode(id="c", workflow="v", chain=inner), TaskNode(id="a"))
    runner = InstanceRunner(graph, tasks={"c/b": fails})
    runner.start()
    runner.run()
    del runner.tasks["c/b"]
    runner.command(RETRY)
    runner.run()
    assert [path for path, _ in runner.executions] == ["c/a", "c/b", "c/b", "a"]


@pytest.mark.parametrize("beside", ["signal", "delay"])
def test_what_waits_beside_the_failure_waits_on(beside: str) -> None:
    other: Node = SignalNode(id="s", signal="go")
    if beside == "delay":
        other = DelayNode(id="s", duration_ms=0)
    runner = InstanceRunner(
        chain(fork("f", "a", other), TaskNode(id="j")), tasks={"f/x/a": fails}
    )
    runner.start()
    runner.step()
    assert phase(runner) == "failed"
    del runner.tasks["f/x/a"]
    runner.command(RETRY)
    runner.command(
        SendSignal(instance_id="i", command_id="", signal="go", payload=b'"went"')
    )
    runner.run()
    assert phase(runner) == "completed"
