"""I22: a lie about what was undone is found where it is told."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import pytest

from sayiir_es.audit.rules.undo_model import UndoModel
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import Branch, ForkNode, SignalNode, TaskNode
from sayiir_es.core.model.commands import CancelWorkflow, RetryWorkflow
from sayiir_es.core.model.compensation_events import (
    CompensationEnded,
    CompensationRequested,
    CompensationStarted,
)
from sayiir_es.core.model.events import (
    PositionUpdated,
    TaskCompleted,
    WorkflowCancelled,
    WorkflowFailed,
)
from tests.audit.mutations import History
from tests.core.instance_runner import InstanceRunner

B = TypeVar("B")


def body_at(history: History, at: int, kind: type[B]) -> B:
    """The body of the event at an offset."""
    body: object = history.events[at].body
    assert isinstance(body, kind)
    return body


def found(history: History) -> tuple[str, int] | None:
    """The invariant and the offset of the first violation."""
    violations = history.violations()
    return (violations[0].invariant, violations[0].offset) if violations else None


def undoable(name: str) -> TaskNode:
    return TaskNode(id=name, compensate=TaskNode(id=f"un{name}"))


def fails(_data: bytes, _attempt: int, /) -> bytes | str:
    return "no"


@pytest.fixture
def failed() -> History:
    """`a` and `b` are undone, `c` could not be."""
    chain = (undoable("a"), undoable("b"), undoable("c"), TaskNode(id="bad"))
    runner = InstanceRunner(
        Graph(name="w", chain=chain),
        tasks={"bad": fails, "c/@compensate": fails},
    )
    runner.start()
    runner.run()
    return History.of(runner)


@pytest.fixture
def cancelled() -> History:
    runner = InstanceRunner(
        Graph(name="w", chain=(undoable("a"), SignalNode(id="s", signal="s")))
    )
    runner.start()
    runner.run()
    runner.command(CancelWorkflow(instance_id="i", command_id=""))
    runner.run()
    return History.of(runner)


def test_an_end_that_forgets_a_task(failed: History) -> None:
    at = failed.at("WorkflowFailed")
    body = body_at(failed, at, WorkflowFailed)
    for changed in (
        replace(body, compensated=("a",)),
        replace(body, compensated=("a", "b")),
        replace(body, not_compensated=()),
        replace(body, compensated=("c", "b", "a"), not_compensated=()),
    ):
        assert found(failed.changed(at, changed)) == ("I22", at)


def test_an_end_with_another_failure(failed: History) -> None:
    at = failed.at("WorkflowFailed")
    body = body_at(failed, at, WorkflowFailed)
    changed = failed.changed(at, replace(body, error="something else"))
    assert found(changed) == ("I22", at)


def test_a_failure_without_a_request(failed: History) -> None:
    at = failed.at("CompensationRequested")
    body = body_at(failed, at, CompensationRequested)
    end = WorkflowFailed(path=body.path, error_type=body.error_type, error=body.error)
    assert found(failed.changed(at, end)) == ("I22", at)


def test_a_request_with_another_failure(failed: History) -> None:
    at = failed.at("CompensationRequested")
    body = body_at(failed, at, CompensationRequested)
    assert found(failed.changed(at, replace(body, error="other"))) == ("I7", at)


def test_a_task_that_hides_that_it_can_be_undone(failed: History) -> None:
    at = failed.at("TaskCompleted")
    body = body_at(failed, at, TaskCompleted)
    assert found(failed.changed(at, replace(body, compensable=False))) == ("I22", at)


def test_an_order_that_is_not_reversed(failed: History) -> None:
    at = failed.at("CompensationStarted") + 1
    body = body_at(failed, at, PositionUpdated)
    assert body.path == "c/@compensate"
    changed = replace(body, path="a/@compensate", input="undo:a")
    assert found(failed.changed(at, changed)) == ("I22", at)


def test_a_compensation_of_what_was_never_done(failed: History) -> None:
    at = failed.at("CompensationStarted") + 1
    body = body_at(failed, at, PositionUpdated)
    wrong = failed.changed(at, replace(body, input="undo:a"))
    assert found(wrong) == ("I19", at)


def test_a_compensation_before_it_was_started(failed: History) -> None:
    at = failed.at("CompensationStarted")
    first = found(failed.dropped(at))
    assert first is not None
    assert first[0] == "I22"


def test_an_outcome_that_is_told_otherwise(failed: History) -> None:
    for number in (0, 1):
        at = failed.at("CompensationEnded", number)
        body = body_at(failed, at, CompensationEnded)
        changed = failed.changed(at, replace(body, undone=not body.undone))
        assert found(changed) == ("I22", at)


def test_an_end_of_a_compensation_that_is_left_out(failed: History) -> None:
    for number in (0, 1):
        at = failed.at("CompensationEnded", number)
        first = found(failed.dropped(at))
        assert first is not None
        assert first[0] == "I22"


def test_a_cancel_that_undoes_for_another_reason(cancelled: History) -> None:
    at = cancelled.at("CompensationStarted")
    body = body_at(cancelled, at, CompensationStarted)
    for changed in (replace(body, reason="failed"), replace(body, interrupted_at=())):
        first = found(cancelled.changed(at, changed))
        assert first is not None
        assert first[1] == at


def test_a_cancel_that_forgets_where_it_stood(cancelled: History) -> None:
    at = cancelled.at("WorkflowCancelled")
    body = body_at(cancelled, at, WorkflowCancelled)
    changed = cancelled.changed(at, replace(body, interrupted_at=()))
    assert found(changed) == ("I17", at)
    changed = cancelled.changed(at, replace(body, compensated=()))
    assert found(changed) == ("I22", at)


def test_a_retry_tries_only_what_could_not_be_undone(failed: History) -> None:
    runner = failed.runner
    del runner.tasks["c/@compensate"]
    runner.command(RetryWorkflow(instance_id="i", command_id=""))
    runner.run()
    history = History.of(runner)
    at = history.at("WorkflowRetried") + 1
    body = body_at(history, at, PositionUpdated)
    changed = replace(body, path="b/@compensate", input="undo:b")
    assert found(history.changed(at, changed)) == ("I22", at)


def test_ten_thousand_are_checked_with_a_look_at_each_once() -> None:
    """In one chain, in branches, and in iterations of a loop."""
    for paths, forks in (
        ([f"t{n}" for n in range(10_000)], set[str]()),
        ([f"f/b{n}/t" for n in range(10_000)], {"f"}),
        ([f"l@{n}/t" for n in range(10_000)], set[str]()),
    ):
        model = UndoModel(forks.__contains__)
        for number, path in enumerate(paths):
            model.add(path, number)
        for path in reversed(paths):
            assert model.in_the_way(path) is None
            model.end(path, undone=True)
        assert model.listed(undone=True)[:1] == paths[-1:]


def test_the_order_knows_branches_iterations_and_what_follows() -> None:
    model = UndoModel({"f", "l@0/f"}.__contains__)
    order = [
        *("t", "l@0/f/a/t", "l@0/f/b/t", "l@0/u", "l@1/t"),
        *("f/a/t", "f/b/t", "f/a/u", "j"),
    ]
    for number, path in enumerate(order):
        model.add(path, number)
    assert model.in_the_way("f/a/u") == "j"
    model.end("j", undone=False)
    assert model.in_the_way("f/a/u") is None
    assert model.in_the_way("f/b/t") is None
    assert model.in_the_way("f/a/t") == "f/a/u"
    assert model.in_the_way("l@1/t") == "f/a/u"
    for path in ("f/a/u", "f/b/t", "f/a/t"):
        model.end(path, undone=True)
    assert model.in_the_way("l@0/u") == "l@1/t"
    model.end("l@1/t", undone=True)
    assert model.in_the_way("l@0/f/b/t") == "l@0/u"
    model.end("l@0/u", undone=True)
    assert model.in_the_way("l@0/f/b/t") is None
    assert model.in_the_way("l@0/f/a/t") is None
    assert model.in_the_way("t") == "l@0/f/b/t"


def test_a_branch_that_opens_before_what_follows_its_fork_is_found() -> None:
    fork = ForkNode(
        id="f",
        branches=tuple(Branch(name=b, chain=(undoable("t"),)) for b in ("a", "b")),
    )
    runner = InstanceRunner(
        Graph(name="w", chain=(fork, undoable("j"), TaskNode(id="bad"))),
        tasks={"bad": fails},
    )
    runner.start()
    runner.run()
    history = History.of(runner)
    at = history.at("CompensationStarted") + 1
    body = body_at(history, at, PositionUpdated)
    assert body.path == "j/@compensate"
    changed = replace(body, path="f/a/t/@compensate", input="undo:f/a/t")
    assert found(history.changed(at, changed)) == ("I22", at)
