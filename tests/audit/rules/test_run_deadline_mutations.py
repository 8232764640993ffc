"""I10 of whole runs: a lie about how long a run may take is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import SignalNode
from sayiir_es.core.model.commands import RetryWorkflow
from sayiir_es.core.model.events import (
    WorkflowFailed,
    WorkflowRetried,
    WorkflowStarted,
)
from tests.audit.mutations import History
from tests.core.instance_runner import InstanceRunner


@pytest.fixture
def timed_out() -> History:
    """A run that was out of time, was retried, and was out of time again."""
    wait = SignalNode(id="s", signal="ok")
    runner = InstanceRunner(Graph(name="w", chain=(wait,), timeout_ms=60_000))
    runner.start(b"1")
    runner.fire()
    runner.command(RetryWorkflow(instance_id="i", command_id=""))
    runner.fire()
    return History.of(runner)


@pytest.mark.parametrize("deadline_at", [None, 5])
def test_another_deadline_than_the_workflow_gives_is_found(
    timed_out: History, deadline_at: int | None
) -> None:
    at = timed_out.at("WorkflowStarted")
    body = timed_out.events[at].body
    assert isinstance(body, WorkflowStarted)
    timed_out.changed(at, replace(body, deadline_at=deadline_at)).must_break("I10", at)


def test_a_retry_without_its_time_is_found(timed_out: History) -> None:
    at = timed_out.at("WorkflowRetried")
    body = timed_out.events[at].body
    assert isinstance(body, WorkflowRetried)
    timed_out.changed(at, replace(body, deadline_at=None)).must_break("I10", at)


def test_a_run_that_ends_before_its_time_is_found(timed_out: History) -> None:
    at = timed_out.at("WorkflowFailed")
    early = timed_out.events[at].at - 1
    timed_out.changed(at, at=early).must_break("I10", at)


def test_a_run_that_fails_at_no_node_for_another_reason_is_found(
    timed_out: History,
) -> None:
    at = timed_out.at("WorkflowFailed")
    body = timed_out.events[at].body
    assert isinstance(body, WorkflowFailed)
    timed_out.changed(at, replace(body, error_type="ValueError")).must_break("I10", at)
