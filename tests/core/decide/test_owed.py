"""What is owed: a function of rows, the same live and after a crash."""

from __future__ import annotations

from sayiir_es.core.decide.owed import owed_timer
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import DelayNode, Node, Retry, SignalNode, TaskNode
from sayiir_es.core.model.rows import get_cursors
from tests.core.instance_runner import InstanceRunner


def runner_of(*chain: Node) -> InstanceRunner:
    return InstanceRunner(Graph(name="w", chain=chain))


def timers(runner: InstanceRunner) -> list[int]:
    owed = [
        owed_timer(runner.header, chain, cursor)
        for chain, cursor in get_cursors(runner.rows)
    ]
    return [timer.due_at for timer in owed if timer is not None]


def test_a_due_attempt_is_owed_until_its_outcome() -> None:
    runner = runner_of(TaskNode(id="a"))
    assert runner.owed() == []
    runner.start()
    assert [(o.path, o.attempt, o.input) for o in runner.owed()] == [("a", 1, "start")]
    runner.run()
    assert runner.owed() == []


def test_a_backoff_is_a_timer_and_then_an_attempt() -> None:
    runner = runner_of(
        TaskNode(id="a", retry=Retry(max_retries=1, initial_delay_ms=700))
    )
    runner.tasks["a"] = lambda _data, attempt: b"1" if attempt == 2 else "no"
    runner.start()
    runner.step()
    assert runner.owed() == []
    assert timers(runner) == [runner.now + 700]
    runner.now += 700
    assert [o.attempt for o in runner.owed()] == [2]


def test_a_deadline_is_a_timer_while_the_attempt_runs() -> None:
    runner = runner_of(TaskNode(id="a", timeout_ms=300))
    runner.start()
    assert timers(runner) == []
    runner.begin(runner.owed()[0])
    assert timers(runner) == [runner.now + 300]


def test_a_wait_without_time_out_owes_nothing() -> None:
    runner = runner_of(SignalNode(id="s", signal="ok"))
    runner.start()
    assert runner.owed() == []
    assert timers(runner) == []


def test_an_ended_instance_owes_nothing() -> None:
    runner = runner_of(DelayNode(id="d", duration_ms=5))
    runner.start()
    assert len(timers(runner)) == 1
    runner.run()
    assert timers(runner) == []


def test_only_what_may_have_begun_is_marked_after_a_take_over() -> None:
    untimed = runner_of(TaskNode(id="a"))
    untimed.start()
    untimed.take_over()
    assert [o.begun for o in untimed.owed()] == [True]
    timed = runner_of(TaskNode(id="a", timeout_ms=300))
    timed.start()
    timed.take_over()
    assert [o.begun for o in timed.owed()] == [False]
    timed.begin(timed.owed()[0])
    timed.take_over()
    assert [o.begun for o in timed.owed()] == [True]
