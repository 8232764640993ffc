"""I11–I14, I19: a lie about the graph or its data is found where it is told."""

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
    RouteNode,
    TaskNode,
)
from sayiir_es.core.model.events import (
    BranchCompleted,
    DelayStarted,
    Event,
    ForkStarted,
    LoopIterated,
    LoopStarted,
    PositionUpdated,
    RouteChosen,
    TaskCompleted,
    WorkflowCompleted,
)
from sayiir_es.core.model.inputs import Outcome
from tests.audit.mutations import History, body_at, history
from tests.core.instance_runner import InstanceRunner

if TYPE_CHECKING:
    from sayiir_es.core.model.events import LoopMark


MARKS: tuple[LoopMark, ...] = ("again", "again", "done")


def outcome(path: str, output: bytes) -> Outcome:
    """The first attempt at a path completed."""
    return Outcome(
        instance_id="i",
        run=1,
        path=path,
        attempt=1,
        result="completed",
        output=output,
    )


# --- I11: the graph -------------------------------------------------------------------


def test_a_node_that_does_not_exist_is_found(slept: History) -> None:
    at, body = body_at(slept, "PositionUpdated")
    assert isinstance(body, PositionUpdated)
    slept.changed(at, replace(body, path="x")).must_break("I11", at)


def test_a_node_that_is_skipped_is_found() -> None:
    original = history(TaskNode(id="a"), TaskNode(id="b"), TaskNode(id="c"))
    at, body = body_at(original, "PositionUpdated", 1)
    assert isinstance(body, PositionUpdated)
    original.changed(at, replace(body, path="c")).must_break("I11", at)


def test_a_node_that_opens_as_another_sort_is_found(slept: History) -> None:
    at, _ = body_at(slept, "PositionUpdated")
    lie = DelayStarted(path="a", due_at=0, input="start")
    slept.changed(at, lie).must_break("I11", at)


def test_an_end_before_the_chain_has_ended_is_found(slept: History) -> None:
    at = slept.at("PositionUpdated")
    lie = WorkflowCompleted(output=b'"in"')
    slept.changed(at, lie).must_break("I11", at)


def test_a_move_that_is_left_undone_is_found() -> None:
    original = history(TaskNode(id="a"), TaskNode(id="b"))
    at = original.at("PositionUpdated", 1)
    original.dropped(at).must_break("I11", at)


def test_a_child_that_ends_before_its_chain_is_found() -> None:
    original = history(ChildNode(id="c", workflow="v", chain=(TaskNode(id="a"),)))
    at = original.at("PositionUpdated")
    body = original.events[original.at("ChildCompleted")].body
    original.changed(at, body).must_break("I11", at)


# --- I12 to I14: containers -----------------------------------------------------------


@pytest.fixture
def routed() -> History:
    branches = tuple(
        Branch(name=name, chain=(TaskNode(id=f"t{name}"),)) for name in "xy"
    )
    node = RouteNode(id="r", keys=("x", "y"), branches=branches)
    runner = InstanceRunner(Graph(name="w", chain=(node, TaskNode(id="z"))))
    runner.start(b'"in"')
    runner.decide(outcome("r", b'"x"'))
    runner.decide(outcome("r/x/tx", b"1"))
    runner.decide(outcome("z", b"1"))
    return History.of(runner)


def test_a_branch_that_its_key_does_not_take_is_found(routed: History) -> None:
    at, body = body_at(routed, "RouteChosen")
    assert isinstance(body, RouteChosen)
    routed.changed(at, replace(body, branch="y")).must_break("I12", at)
    routed.changed(at, replace(body, key="q")).must_break("I12", at)


def test_a_branch_that_was_not_chosen_and_opens_is_found(routed: History) -> None:
    at, body = body_at(routed, "PositionUpdated", 1)
    assert isinstance(body, PositionUpdated)
    routed.changed(at, replace(body, path="r/y/ty")).must_break("I12", at)


def test_a_route_that_is_chosen_again_is_found(routed: History) -> None:
    at, body = body_at(routed, "RouteChosen")
    routed.added(at + 2, body).must_break("I12", at + 2)


def test_a_branch_that_runs_before_the_choice_is_found(routed: History) -> None:
    at = routed.at("RouteChosen")
    lie = PositionUpdated(path="r/x/tx", attempt=1, input="start")
    routed.added(at, lie, cause="owed:2").must_break("I12", at)


@pytest.fixture
def forked() -> History:
    branches = tuple(
        Branch(name=name, chain=(TaskNode(id=f"t{name}"),)) for name in "xy"
    )
    return history(ForkNode(id="f", branches=branches), TaskNode(id="j"))


def test_a_join_before_every_branch_is_found(forked: History) -> None:
    at = forked.at("BranchCompleted", 1)
    join = forked.events[forked.at("PositionUpdated", 2)].body
    forked.changed(at, join).must_break("I13", at)


def test_a_join_that_runs_twice_is_found(forked: History) -> None:
    at, body = body_at(forked, "PositionUpdated", 2)
    forked.added(at + 1, body).must_break("I13", at + 1)


def test_a_branch_that_opens_or_ends_twice_is_found(forked: History) -> None:
    at, body = body_at(forked, "BranchCompleted")
    forked.added(at + 1, body).must_break("I13", at + 1)
    at, body = body_at(forked, "PositionUpdated")
    forked.added(at + 1, body).must_break("I13", at + 1)


def test_branches_that_were_not_declared_are_found(forked: History) -> None:
    at, body = body_at(forked, "ForkStarted")
    assert isinstance(body, ForkStarted)
    forked.changed(at, replace(body, branches=("x",))).must_break("I13", at)


def test_a_join_that_never_opens_is_found(forked: History) -> None:
    at = forked.at("PositionUpdated", 2)
    forked.dropped(at).must_break("I13", at)


@pytest.fixture
def looped() -> History:
    node = LoopNode(id="l", body=(TaskNode(id="t-2"),), max_iterations=3)
    runner = InstanceRunner(Graph(name="w", chain=(node, TaskNode(id="z"))))
    runner.start(b'"in"')
    for turn, loop in enumerate(MARKS):
        runner.decide(replace(outcome(f"l@{turn}/t-2", b"%d" % turn), loop=loop))
    runner.decide(outcome("z", b"9"))
    return History.of(runner)


def test_a_skipped_iteration_is_found(looped: History) -> None:
    at, body = body_at(looped, "LoopIterated", 1)
    assert isinstance(body, LoopIterated)
    looped.changed(at, replace(body, iteration=2)).must_break("I14", at)


def test_another_exit_is_found(looped: History) -> None:
    at, body = body_at(looped, "LoopIterated", 1)
    assert isinstance(body, LoopIterated)
    looped.changed(at, replace(body, outcome="done")).must_break("I14", at)


def test_a_body_of_another_iteration_is_found(looped: History) -> None:
    at, body = body_at(looped, "PositionUpdated", 1)
    assert isinstance(body, PositionUpdated)
    looped.changed(at, replace(body, path="l@2/t-2")).must_break("I14", at)
    looped.changed(at, replace(body, path="l/t-2")).must_break("I11", at)


def test_a_mark_that_ends_no_loop_is_found(looped: History) -> None:
    at, body = body_at(looped, "TaskCompleted", 3)
    assert isinstance(body, TaskCompleted)
    looped.changed(at, replace(body, loop="done")).must_break("I14", at)


# --- I19: data ------------------------------------------------------------------------


def test_another_output_is_found(forked: History) -> None:
    at = forked.at("WorkflowCompleted")
    forked.changed(at, WorkflowCompleted(output=b"0")).must_break("I19", at)
    at, body = body_at(forked, "TaskCompleted", 2)
    assert isinstance(body, TaskCompleted)
    changed = forked.changed(at, replace(body, output=b"0"))
    changed.must_break("I19", forked.at("WorkflowCompleted"))


def test_another_input_is_found(forked: History, looped: History) -> None:
    at, body = body_at(forked, "PositionUpdated", 2)
    assert isinstance(body, PositionUpdated)
    forked.changed(at, replace(body, input="start")).must_break("I19", at)
    at, started = body_at(looped, "LoopStarted")
    assert isinstance(started, LoopStarted)
    looped.changed(at, replace(started, input="null")).must_break("I19", at)
    at, body = body_at(looped, "PositionUpdated", 1)
    assert isinstance(body, PositionUpdated)
    looped.changed(at, replace(body, input="start")).must_break("I19", at)


def test_another_carried_value_is_found(looped: History) -> None:
    at, body = body_at(looped, "LoopIterated", 1)
    assert isinstance(body, LoopIterated)
    looped.changed(at, replace(body, value=b"0")).must_break("I19", at)


def test_another_result_of_a_branch_is_found(forked: History) -> None:
    at, body = body_at(forked, "BranchCompleted")
    assert isinstance(body, BranchCompleted)
    forked.changed(at, replace(body, result="start")).must_break("I19", at)


def test_envelopes_of_forks_and_routes_are_spliced_byte_for_byte(
    routed: History,
) -> None:
    joined = tuple(
        Branch(name=name, chain=(TaskNode(id="t"),)) for name in ("ü/1", "a", "a")
    )
    original = history(ForkNode(id="f", branches=joined), TaskNode(id="j"))
    completed: Event = original.events[original.at("WorkflowCompleted")]
    assert isinstance(completed.body, WorkflowCompleted)
    assert completed.body.output == '{"ü/1":"in","a":"in","a#2":"in"}'.encode()
    assert not routed.violations()
