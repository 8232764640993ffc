"""What completed tasks did is undone behind a migration, at the paths that it maps."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import (
    Branch,
    ChildNode,
    ForkNode,
    LoopNode,
    Node,
    SignalNode,
    TaskNode,
)
from sayiir_es.core.model.commands import CancelWorkflow, RetryWorkflow
from sayiir_es.core.model.compensation_events import CompensationEnded
from sayiir_es.core.model.events import WorkflowFailed
from sayiir_es.core.model.inputs import Outcome
from sayiir_es.core.model.undo_rows import paths_to_undo
from sayiir_es.core.status.status import status_of
from tests.core.migrating_runner import Runner, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.decide.owed import OwedAttempt
    from sayiir_es.core.model.events import Event
    from tests.core.instance_runner import Task

WAIT = SignalNode(id="ok", signal="ok")
BAD = TaskNode(id="bad")


def undoable(name: str) -> TaskNode:
    return TaskNode(id=name, compensate=TaskNode(id=f"un{name}"))


A, B, PAY = undoable("a"), undoable("b"), undoable("pay")


def graph(*chain: Node) -> Graph:
    return Graph(name="w", chain=chain)


def fails(_data: bytes, _attempt: int, /) -> bytes | str:
    return "no"


def says(name: str) -> Task:
    return lambda _data, _attempt: f'"{name}"'.encode()


TASKS: dict[str, Task] = {
    "bad": fails,
    **{name: says(name) for name in ("a", "b", "pay")},
}


def begun(old: Graph, new: Graph, tasks: dict[str, Task] | None = None) -> Runner:
    """A run of the old graph, as far as it goes on by itself."""
    runner = Runner(old, tasks={**TASKS, **(tasks or {})}, others=(new,))
    runner.start(b'"in"')
    runner.run()
    return runner


def undone(runner: Runner) -> list[tuple[str, bool]]:
    return [
        (event.body.path, event.body.undone)
        for event in runner.events
        if isinstance(event.body, CompensationEnded)
    ]


def keeps(given: dict[str, bytes], name: str) -> Task:
    def keep(data: bytes, _attempt: int, /) -> bytes | str:
        given[name] = data
        return b"null"

    return keep


def test_what_a_task_did_is_undone_at_its_new_path_with_what_it_was_given() -> None:
    given: dict[str, bytes] = {}
    new = graph(A, PAY, WAIT, BAD)
    runner = begun(
        graph(A, B, WAIT, BAD),
        new,
        {f"{one}/@compensate": keeps(given, one) for one in ("a", "b", "pay")},
    )
    runner.migrate(new, b="pay")
    runner.signal()
    runner.run()
    assert undone(runner) == [("pay", True), ("a", True)]
    assert given == {
        "pay": b'{"input":"a","result":"b"}',
        "a": b'{"input":"in","result":"a"}',
    }
    assert runner.events[-1].body == WorkflowFailed(
        path="bad", error_type="ValueError", error="no", compensated=("pay", "a")
    )
    runner.check()


def test_a_cancel_behind_the_migration_undoes_it_there() -> None:
    new = graph(PAY, WAIT)
    runner = begun(graph(A, WAIT), new)
    runner.migrate(new, a="pay")
    runner.command(CancelWorkflow(instance_id="i", command_id=""))
    runner.run()
    assert runner.header.phase == "cancelled"
    assert undone(runner) == [("pay", True)]
    runner.check()


def test_the_input_of_a_renamed_task_is_found_under_its_new_name() -> None:
    given: dict[str, bytes] = {}
    new = graph(PAY, B, WAIT, BAD)
    runner = begun(graph(A, B, WAIT, BAD), new, {"b/@compensate": keeps(given, "b")})
    runner.migrate(new, a="pay")
    runner.signal()
    runner.run()
    assert given == {"b": b'{"input":"a","result":"b"}'}
    assert undone(runner) == [("b", True), ("pay", True)]
    runner.check()


class LoopRunner(Runner):
    """Its `e` ends a loop's body, for the second time done."""

    def finish(self, attempt: OwedAttempt) -> list[Event]:
        """The function runs and its outcome is decided."""
        if not attempt.path.endswith("/e"):
            return super().finish(attempt)
        outcome = Outcome(
            instance_id="i",
            run=attempt.run,
            path=attempt.path,
            attempt=1,
            result="completed",
            output=b"1",
            loop="again" if "@0" in attempt.path else "done",
            worker="w",
        )
        return self.decide(outcome)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_the_iterations_of_a_renamed_task_are_undone_one_by_one(steps: int) -> None:
    end = TaskNode(id="e")
    new = graph(LoopNode(id="turns", body=(PAY, end)), BAD)
    old = graph(LoopNode(id="loop_0", body=(A, end)), BAD)
    runner = LoopRunner(old, tasks=TASKS, others=(new,))
    runner.start()
    for _ in range(steps):
        runner.step()
    runner.migrate_by(new, {"loop_0/a": "turns/pay"})
    runner.run()
    assert undone(runner) == [("turns@1/pay", True), ("turns@0/pay", True)]
    runner.check()


FORK = ForkNode(
    id="f", branches=(Branch(name="a", chain=(A,)), Branch(name="b", chain=(B,)))
)


def test_branches_of_a_renamed_fork_are_undone_side_by_side() -> None:
    moved = replace(FORK, id="g")
    new = graph(moved, undoable("join"), WAIT, BAD)
    runner = begun(graph(FORK, undoable("join"), WAIT, BAD), new)
    runner.migrate(new, f="g")
    runner.signal()
    runner.run()
    paths = [path for path, _ in undone(runner)]
    assert (paths[0], sorted(paths[1:])) == ("join", ["g/a/a", "g/b/b"])
    runner.check()


@pytest.mark.parametrize("lost", range(12))
def test_a_crash_anywhere_around_the_migration_undoes_the_same(lost: int) -> None:
    old, new = graph(A, B, WAIT, BAD), graph(A, PAY, WAIT, BAD)
    runner = begun(old, new)

    def migrate() -> object:
        return runner.migrate(new, b="pay")

    steps: list[Callable[[], object]] = [migrate, runner.signal, *[runner.step] * 10]
    for done, step in enumerate(steps):
        if done == lost:
            runner.crash()
        step()
    runner.run()
    assert undone(runner) == [("pay", True), ("a", True)]
    runner.check()


def test_what_could_not_be_undone_is_tried_again_at_its_new_path() -> None:
    new = graph(PAY, B, BAD)
    runner = begun(graph(A, B, BAD), new, {"a/@compensate": fails})
    assert undone(runner) == [("b", True), ("a", False)]
    runner.migrate(new, a="pay")
    status = status_of(runner.rows, "i", runner.graph)
    assert status is not None
    assert (status.compensated, status.not_compensated) == (("b",), ("pay",))
    runner.command(RetryWorkflow(instance_id="i", command_id=""))
    runner.run()
    assert undone(runner)[2:] == [("pay", True)]
    assert runner.events[-1].body == WorkflowFailed(
        path="bad", error_type="ValueError", error="no", compensated=("b", "pay")
    )
    runner.check()


# --- refused --------------------------------------------------------------------------


def test_a_run_that_is_being_undone_stays_with_its_graph() -> None:
    new = graph(A, B, BAD, PAY)
    runner = Runner(graph(A, B, BAD), tasks=TASKS, others=(new,))
    runner.start()
    while runner.header.compensation == "none":
        runner.step()
    before = len(runner.events)
    assert refused(runner.migrate(new)) == (
        "not_migratable",
        "expected a run that may go on, but it has failed, and is being undone",
    )
    assert [event.kind for event in runner.events[before:]] == ["CommandRejected"]
    runner.run()
    assert undone(runner) == [("b", True), ("a", True)]
    runner.check()


def test_neither_does_one_migrate_that_waits_for_what_still_runs() -> None:
    fork = ForkNode(
        id="f", branches=(Branch(name="a", chain=(A,)), Branch(name="b", chain=(BAD,)))
    )
    new = graph(fork, B, PAY)
    runner = Runner(graph(fork, B), tasks={**TASKS, "f/b/bad": fails}, others=(new,))
    runner.start()
    slow, bad = runner.owed()
    runner.begin(slow)
    runner.begin(bad)
    runner.finish(bad)
    assert runner.header.compensation == "requested"
    code, message = refused(runner.migrate(new))
    assert code == "not_migratable"
    assert message.endswith("but it has failed, and is being undone")
    runner.finish(slow)
    runner.run()
    assert undone(runner) == [("f/a/a", True)]
    runner.check()


def test_a_cancelled_one_is_told_apart() -> None:
    new = graph(A, WAIT, B)
    runner = begun(graph(A, WAIT), new)
    runner.command(CancelWorkflow(instance_id="i", command_id=""))
    assert runner.header.compensation == "started"
    code, message = refused(runner.migrate(new))
    assert code == "not_migratable"
    assert message.endswith("but it was cancelled, and is being undone")


NO_PLACE: dict[str, tuple[Graph, Graph, dict[str, str], str]] = {
    "no compensation": (
        graph(A, WAIT),
        graph(TaskNode(id="a"), WAIT),
        {},
        (
            "expected a compensation at 'a/@compensate' in the new graph, to undo what "
            "'a' did, but nothing"
        ),
    ),
    "no task": (
        graph(A, WAIT),
        graph(B, WAIT),
        {},
        (
            "expected a compensation at 'a/@compensate' in the new graph, to undo what "
            "'a' did, but nothing"
        ),
    ),
    "none at the new path": (
        graph(A, WAIT),
        graph(TaskNode(id="pay"), WAIT),
        {"a": "pay"},
        (
            "expected a compensation at 'pay/@compensate' in the new graph, to undo "
            "what 'a' did, but nothing"
        ),
    ),
    "another input": (
        graph(FORK, undoable("join"), WAIT),
        graph(
            replace(FORK, branches=(*FORK.branches, Branch(name="c", chain=(PAY,)))),
            undoable("join"),
            WAIT,
        ),
        {},
        (
            "expected the branches ['a', 'b'] of the fork at 'f' in the new graph, but "
            "['a', 'b', 'c']"
        ),
    ),
}


@pytest.mark.parametrize("name", NO_PLACE)
def test_a_graph_that_could_not_undo_what_was_done_is_refused(name: str) -> None:
    old, new, mapping, expected = NO_PLACE[name]
    runner = begun(old, new)
    left = paths_to_undo(runner.rows)
    assert refused(runner.migrate_by(new, mapping)) == ("not_migratable", expected)
    assert paths_to_undo(runner.rows) == left
    runner.check()


def test_another_container_around_what_was_done_is_refused() -> None:
    branches = Branch(name="a", chain=(A,)), Branch(name="b", chain=(TaskNode(id="b"),))
    behind = TaskNode(id="behind"), WAIT
    child = ChildNode(id="a", workflow="w2", chain=(A,))
    new = graph(LoopNode(id="f", body=(child, TaskNode(id="e"))), *behind)
    runner = begun(graph(ForkNode(id="f", branches=branches), *behind), new)
    code, message = refused(runner.migrate(new))
    assert code == "not_migratable"
    assert message == (
        "expected the same around 'f/a/a/@compensate' in the new graph, which is "
        "a fork 'f', but a child 'f/a', a loop 'f'"
    )
