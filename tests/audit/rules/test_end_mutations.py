"""I7, I18: a lie about how runs begin and end is found where it is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.model.commands import RetryWorkflow
from sayiir_es.core.model.events import (
    PositionUpdated,
    TaskCompleted,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowRetried,
    WorkflowStarted,
)
from tests.audit.mutations import History
from tests.core.instance_runner import InstanceRunner

# --- I7 -------------------------------------------------------------------------------


def test_a_second_end_is_found(chain: History) -> None:
    at = chain.at("WorkflowCompleted")
    chain.added(at + 1, WorkflowCompleted(output=b"1")).must_break("I7", at + 1)


def test_anything_behind_the_end_is_found(chain: History) -> None:
    at = chain.at("WorkflowCompleted")
    more = PositionUpdated(path="b", attempt=1, input="result:a")
    chain.added(at + 1, more).must_break("I7", at + 1)


def test_a_failure_without_a_reason_is_found(chain: History) -> None:
    at = chain.at("WorkflowCompleted")
    body = WorkflowFailed(path="b", error_type="E", error="e")
    chain.changed(at, body).must_break("I7", at)


def test_an_end_of_a_failed_run_that_is_missing_is_found() -> None:
    runner = InstanceRunner(Graph(name="w", chain=(TaskNode(id="a"),)))
    runner.tasks["a"] = lambda _data, _attempt: "no"
    runner.start(b"1")
    runner.run()
    history = History.of(runner)
    at = history.at("WorkflowFailed")
    history.kept(at).must_break("I7", at)
    lie = WorkflowFailed(path="a", error_type="E", error="another")
    history.changed(at, lie).must_break("I7", at)


@pytest.fixture
def retried() -> History:
    """Failed at `b`, and again, and then completed."""
    runner = InstanceRunner(Graph(name="w", chain=(TaskNode(id="a"), TaskNode(id="b"))))
    runner.tasks["b"] = lambda _data, _attempt: "no"
    runner.start(b"1")
    for _ in range(2):
        runner.run()
        runner.command(RetryWorkflow(instance_id="i", command_id=""))
    del runner.tasks["b"]
    runner.run()
    assert runner.header.phase == "completed"
    return History.of(runner)


def test_a_retry_that_skips_a_run_is_found(retried: History) -> None:
    at = retried.at("WorkflowRetried")
    retried.changed(at, run=3).must_break("I7", at)


def test_a_retry_of_what_has_not_failed_is_found(chain: History) -> None:
    at = chain.at("WorkflowCompleted")
    again = WorkflowRetried(command_id="x")
    chain.added(at, again, cause="command:0@1").must_break("I7", at)
    chain.added(at + 1, again, cause="command:0@1").must_break("I7", at + 1)


def test_work_of_a_retried_run_that_was_done_before_is_found(retried: History) -> None:
    at = retried.at("WorkflowRetried")
    completed = retried.events[retried.at("TaskCompleted")].body
    assert isinstance(completed, TaskCompleted)
    lie = retried.added(at + 1, completed, cause="outcome:a#1")
    lie.changed(at + 1, run=2).must_break("I8", at + 1)


def test_a_failed_run_that_goes_on_without_a_retry_is_found(retried: History) -> None:
    at = retried.at("WorkflowRetried")
    retried.dropped(at).must_break("I7", at)


def test_a_second_start_of_a_running_instance_is_found(chain: History) -> None:
    at = chain.at("TaskCompleted")
    again = chain.events[chain.at("WorkflowStarted")].body
    assert isinstance(again, WorkflowStarted)
    changed = chain.added(at, again, cause="command:0@1").kept(at + 1)
    changed.changed(at, run=2).must_break("I7", at)


def test_an_event_of_another_run_is_found(chain: History) -> None:
    at = chain.at("TaskCompleted")
    assert isinstance(chain.events[at].body, TaskCompleted)
    chain.changed(at, run=2).must_break("I7", at)


# --- I18 ------------------------------------------------------------------------------


def test_another_definition_in_a_run_is_found(chain: History) -> None:
    at = chain.at("TaskCompleted")
    started = chain.events[chain.at("WorkflowStarted")].body
    assert isinstance(started, WorkflowStarted)
    other = replace(started, definition_hash="0" * 64)
    chain.added(at, other, cause="command:0@1").kept(at + 1).must_break("I18", at)


@pytest.mark.parametrize("field", ["definition_hash", "graph_digest", "workflow"])
def test_a_definition_that_nobody_published_is_found(
    chain: History, field: str
) -> None:
    at = chain.at("WorkflowStarted")
    started = chain.events[at].body
    assert isinstance(started, WorkflowStarted)
    other = {
        "definition_hash": replace(started, definition_hash="0" * 64),
        "graph_digest": replace(started, graph_digest="0" * 64),
        "workflow": replace(started, workflow="v"),
    }[field]
    chain.changed(at, other).must_break("I18", at)
