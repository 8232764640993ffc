"""What is owed: a function of rows, the same live and after a crash."""

from __future__ import annotations

from sayiir_es.core.decide.owed import owed_timer
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import DelayNode, Node, Retry, SignalNode, TaskNode
from sayiir_es.core.model.rows import get_cursors
from tests.core.instance_runner import InstanceRunner


def play(*chain: Node) -> InstanceRunner:
    return InstanceRunner(Graph(name="w", chain=chain))


def timers(game: InstanceRunner) -> list[int]:
    found = [
        owed_timer(game.header, chain, cursor)
        for chain, cursor in get_cursors(game.rows)
    ]
    return [timer.due_at for timer in found if timer is not None]


def test_a_due_attempt_is_owed_until_its_outcome() -> None:
    game = play(TaskNode(id="a"))
    assert game.owed() == []
    game.start()
    assert [(o.path, o.attempt, o.input) for o in game.owed()] == [("a", 1, "start")]
    game.run()
    assert game.owed() == []


def test_a_backoff_is_a_timer_and_then_an_attempt() -> None:
    game = play(TaskNode(id="a", retry=Retry(max_retries=1, initial_delay_ms=700)))
    game.tasks["a"] = lambda _data, attempt: b"1" if attempt == 2 else "no"
    game.start()
    game.step()
    assert game.owed() == []
    assert timers(game) == [game.now + 700]
    game.now += 700
    assert [o.attempt for o in game.owed()] == [2]


def test_a_deadline_is_a_timer_while_the_attempt_runs() -> None:
    game = play(TaskNode(id="a", timeout_ms=300))
    game.start()
    assert timers(game) == []
    game.begin(game.owed()[0])
    assert timers(game) == [game.now + 300]


def test_a_wait_without_time_out_owes_nothing() -> None:
    game = play(SignalNode(id="s", signal="ok"))
    game.start()
    assert game.owed() == []
    assert timers(game) == []


def test_an_ended_instance_owes_nothing() -> None:
    game = play(DelayNode(id="d", duration_ms=5))
    game.start()
    assert len(timers(game)) == 1
    game.run()
    assert timers(game) == []


def test_only_what_may_have_begun_is_marked_after_a_take_over() -> None:
    untimed = play(TaskNode(id="a"))
    untimed.start()
    untimed.take_over()
    assert [o.begun for o in untimed.owed()] == [True]
    timed = play(TaskNode(id="a", timeout_ms=300))
    timed.start()
    timed.take_over()
    assert [o.begun for o in timed.owed()] == [False]
    timed.begin(timed.owed()[0])
    timed.take_over()
    assert [o.begun for o in timed.owed()] == [True]
