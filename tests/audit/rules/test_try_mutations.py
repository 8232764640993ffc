"""I23: a lie about what caught an error, or about what stood beside it, is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import Branch, ForkNode, SignalNode, TaskNode, TryNode
from sayiir_es.core.model.events import (
    ErrorCaught,
    PositionUpdated,
    SignalConsumed,
    TaskCompleted,
    TaskFailed,
    TryCompleted,
    TryStarted,
    WorkflowFailed,
)
from sayiir_es.core.model.inputs import Outcome
from tests.audit.mutations import History, body_at
from tests.core.instance_runner import InstanceRunner

INNER = TryNode(
    id="in",
    body=(
        ForkNode(
            id="f",
            branches=(
                Branch(name="x", chain=(SignalNode(id="s", signal="ok"),)),
                Branch(name="y", chain=(TaskNode(id="a"),)),
            ),
        ),
        TaskNode(id="j"),
    ),
    handler=(TaskNode(id="h"),),
    errors=("builtins.LookupError", "timeout"),
)
OUTER = TryNode(
    id="out",
    body=(INNER,),
    handler=(TaskNode(id="g"),),
    errors=("builtins.ValueError",),
)
FAILS = "out/@body/in/@body/f/y/a"


@pytest.fixture
def caught() -> History:
    """An error that the outer one of two catches."""
    graph = Graph(name="w", chain=(OUTER, TaskNode(id="z")))
    runner = InstanceRunner(graph)
    runner.start(b"5")
    [owed] = runner.owed()
    runner.begin(owed)
    runner.decide(
        Outcome(
            instance_id="i",
            run=1,
            path=FAILS,
            attempt=1,
            result="failed",
            error_type="Odd",
            error="Odd: no",
            error_bases=("shop.Odd", "builtins.ValueError", "builtins.Exception"),
        )
    )
    runner.run()
    return History.of(runner)


def test_an_error_that_another_try_catches_is_found(caught: History) -> None:
    at, body = body_at(caught, "ErrorCaught")
    assert isinstance(body, ErrorCaught)
    assert body.path == "out"
    caught.changed(at, replace(body, path="out/@body/in")).must_break("I23", at)


def test_an_error_that_ends_the_run_though_it_is_wanted_is_found(
    caught: History,
) -> None:
    at, body = body_at(caught, "ErrorCaught")
    assert isinstance(body, ErrorCaught)
    ended = WorkflowFailed(path=FAILS, error_type=body.error_type, error=body.error)
    caught.changed(at, ended).must_break("I23", at)


def test_a_failure_that_nothing_follows_is_found(caught: History) -> None:
    at = caught.at("ErrorCaught")
    caught.dropped(at).must_break("I23", at)


def test_an_error_that_is_caught_and_was_none_is_found(caught: History) -> None:
    at, body = body_at(caught, "ErrorCaught")
    assert isinstance(body, ErrorCaught)
    caught.changed(at, replace(body, error="another")).must_break("I7", at)
    failed = caught.at("TaskFailed")
    caught.dropped(failed).must_break("I8", failed)


def test_classes_that_nobody_wants_are_found(caught: History) -> None:
    at, body = body_at(caught, "TaskFailed")
    assert isinstance(body, TaskFailed)
    other = replace(body, error_bases=("shop.Odd", "builtins.Exception"))
    caught.changed(at, other).must_break("I7", at + 1)


def test_what_goes_on_in_a_body_that_was_left_is_found(caught: History) -> None:
    at = caught.at("ErrorCaught") + 1
    path = "out/@body/in/@body/f/x/s"
    consumed = SignalConsumed(path=path, signal_sequence=9)
    caught.added(at, consumed).must_break("I15", at)
    late = TaskCompleted(path=FAILS, attempt=1, output=b"1", loop="none", worker="w")
    caught.added(at, late).must_break("I8", at)


def test_a_handler_that_gets_something_else_is_found(caught: History) -> None:
    at = caught.at("PositionUpdated", 1)
    body = caught.events[at].body
    assert isinstance(body, PositionUpdated)
    caught.changed(at, replace(body, input="start")).must_break("I19", at)


def test_a_try_that_ends_before_its_handler_is_found(caught: History) -> None:
    at = caught.at("ErrorCaught") + 1
    ended = TryCompleted(path="out", result="caught:out")
    caught.added(at, ended).must_break("I23", at)


def test_a_result_that_is_not_the_handlers_is_found(caught: History) -> None:
    at, body = body_at(caught, "TryCompleted")
    assert isinstance(body, TryCompleted)
    caught.changed(at, replace(body, result="start")).must_break("I19", at)


def test_a_try_that_opens_where_there_is_none_is_found(caught: History) -> None:
    at, body = body_at(caught, "TryStarted")
    assert isinstance(body, TryStarted)
    caught.changed(at, replace(body, path="z")).must_break("I11", at)
