"""I25: a lie about what instances owe to their children and parents is found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import StartChildNode, TaskNode
from sayiir_es.core.model.child_events import ChildInstanceRequested
from sayiir_es.core.model.child_rows import REPORT
from sayiir_es.core.model.commands import CancelWorkflow, RecordChildEnd
from sayiir_es.core.model.inputs import MessageSent
from tests.audit.mutations import History, body_at
from tests.core.instance_runner import InstanceRunner

if TYPE_CHECKING:
    from sayiir_es.core.model.events import Body

CHILD = "i/kid"
GRAPH = Graph(
    name="w",
    chain=(
        TaskNode(id="a"),
        StartChildNode(id="kid", workflow="kid"),
        TaskNode(id="b"),
    ),
)
KID = Graph(name="kid", chain=(TaskNode(id="a"),))


def changed(body: Body, **fields: object) -> Body:
    """The same body with other fields."""
    other: Body = replace(cast("Any", body), **fields)
    return other


def parent() -> InstanceRunner:
    """A parent that waits for its child, whose start is in the log."""
    runner = InstanceRunner(graph=GRAPH)
    runner.start()
    runner.run()
    runner.decide(sent(runner, "start"))
    return runner


def request_of(runner: InstanceRunner) -> ChildInstanceRequested:
    bodies = [event.body for event in runner.events]
    return next(one for one in bodies if isinstance(one, ChildInstanceRequested))


def sent(runner: InstanceRunner, what: str) -> MessageSent:
    """The log holds the start or the cancel of the child."""
    assert what in {"start", "cancel"}
    return MessageSent(
        instance_id="i",
        what="start" if what == "start" else "cancel",
        name=CHILD,
        secret=request_of(runner).secret,
    )


@pytest.fixture
def ended() -> History:
    """A parent whose child has completed."""
    runner = parent()
    end = RecordChildEnd(
        instance_id="i",
        command_id="e",
        run=1,
        path="kid",
        child_id=CHILD,
        child_run=1,
        end="completed",
        secret=request_of(runner).secret,
        output=b"7",
    )
    runner.command(end)
    runner.run()
    assert runner.kinds()[-1] == "WorkflowCompleted"
    return History.of(runner)


@pytest.fixture
def cancelled() -> History:
    """A parent that was cancelled while it waited, and has told its child."""
    runner = parent()
    runner.command(CancelWorkflow(instance_id="i", command_id="c"))
    runner.run()
    runner.decide(sent(runner, "cancel"))
    assert runner.kinds()[-1] == "ChildCancelSent"
    return History.of(runner)


@pytest.fixture
def reported() -> History:
    """A child that has completed, and whose parent is told."""
    runner = InstanceRunner(graph=KID)
    secret = "0" * 32
    start = replace(
        runner.start_command("kid"),
        parent="p",
        parent_run=1,
        parent_path="kid",
        parent_secret=secret,
    )
    runner.command(start)
    runner.run()
    (name,) = (key for key in runner.rows.keys(REPORT) if runner.rows.get(key))
    runner.decide(MessageSent(instance_id="i", what="end", name=name, secret=secret))
    assert runner.kinds()[-1] == "ChildEndReported"
    return History.of(runner)


@pytest.mark.parametrize(
    "lie",
    [
        {"child_id": "other"},
        {"workflow": "other"},
        {"version": "2"},
        {"secret": ""},
        {"secret": "0" * 31},
        {"waits": False},
        {"on_parent_end": "leave"},
    ],
)
def test_each_field_of_a_request_is_held_to_the_graph(
    ended: History, lie: dict[str, object]
) -> None:
    at, body = body_at(ended, "ChildInstanceRequested")
    lied = changed(body, **lie)
    ended.changed(at, lied).must_break("I25", at)


@pytest.mark.parametrize(
    "lie", [{"path": "b"}, {"path": "none"}, {"input": "null"}, {"value": b"9"}]
)
def test_a_request_is_made_where_the_chain_stands_with_what_flows_in(
    ended: History, lie: dict[str, object]
) -> None:
    at, body = body_at(ended, "ChildInstanceRequested")
    lied = changed(body, **lie)
    assert ended.changed(at, lied).violations()[0].offset == at


@pytest.mark.parametrize("kind", ["ChildInstanceSent", "ChildInstanceEnded"])
@pytest.mark.parametrize("lie", [{"path": "a"}, {"child_id": "other"}])
def test_what_is_told_of_a_child_is_of_one_that_was_asked_for(
    ended: History, kind: str, lie: dict[str, object]
) -> None:
    at, body = body_at(ended, kind)
    lied = changed(body, **lie)
    ended.changed(at, lied).must_break("I25", at)


@pytest.mark.parametrize("kind", ["ChildInstanceSent", "ChildInstanceEnded"])
def test_what_is_told_of_a_child_is_told_once(ended: History, kind: str) -> None:
    at, body = body_at(ended, kind)
    last = ended.at("WorkflowCompleted")
    ended.added(at + 1, body).must_break("I25", at + 1)
    ended.added(last + 1, body).must_break("I25", last + 1)


def test_a_child_that_was_never_asked_for_has_not_ended(ended: History) -> None:
    at = ended.at("ChildInstanceRequested")
    assert ended.dropped(at).violations()[0].offset == at


def test_a_parent_does_not_go_on_without_the_end_of_its_child(ended: History) -> None:
    at = ended.at("ChildInstanceEnded")
    assert ended.dropped(at).violations()[0].offset == at


def test_a_cancel_is_for_a_child_of_a_run_that_has_ended(cancelled: History) -> None:
    at, body = body_at(cancelled, "ChildCancelSent")
    lied = changed(body, child_id="other")
    cancelled.changed(at, lied).must_break("I25", at)
    cancelled.added(at + 1, body).must_break("I25", at + 1)
    end = cancelled.at("WorkflowCancelled")
    cancelled.added(end, body).must_break("I25", end)
    start = cancelled.at("ChildInstanceSent")
    cancelled.dropped(start).must_break("I25", at - 1)


@pytest.mark.parametrize(
    "lie", [{"parent": "q"}, {"parent_path": "a"}, {"child_run": 2}, {"child_run": 0}]
)
def test_only_the_parent_is_told_and_of_that_run(
    reported: History, lie: dict[str, object]
) -> None:
    at, body = body_at(reported, "ChildEndReported")
    lied = changed(body, **lie)
    reported.changed(at, lied).must_break("I25", at)


def test_the_parent_is_told_once_and_behind_the_end(reported: History) -> None:
    at, body = body_at(reported, "ChildEndReported")
    reported.added(at + 1, body).must_break("I25", at + 1)
    end = reported.at("WorkflowCompleted")
    reported.added(end, body).must_break("I25", end)
