"""I15–I17: a lie about signals, pauses and cancels is found where it is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import Branch, DelayNode, ForkNode, SignalNode, TaskNode
from sayiir_es.core.model.commands import (
    CancelWorkflow,
    PauseWorkflow,
    SendSignal,
    UnpauseWorkflow,
)
from sayiir_es.core.model.events import (
    DelayElapsed,
    PauseRequested,
    PositionUpdated,
    SignalAwaited,
    SignalConsumed,
    SignalReceived,
    WorkflowCancelled,
    WorkflowPaused,
)
from tests.audit.mutations import History, body_at
from tests.core.instance_runner import InstanceRunner


def sent(payload: bytes, signal_id: str | None = None) -> SendSignal:
    return SendSignal(
        instance_id="i",
        command_id="",
        signal="ok",
        payload=payload,
        signal_id=signal_id,
    )


# --- I15: signals ---------------------------------------------------------------------


@pytest.fixture
def signalled() -> History:
    runner = InstanceRunner(
        Graph(
            name="w",
            chain=(
                SignalNode(id="s", signal="ok"),
                TaskNode(id="a"),
                SignalNode(id="t", signal="ok"),
            ),
        )
    )
    runner.command(sent(b"1", "one"))
    runner.command(sent(b"2", "two"))
    runner.start()
    runner.run()
    return History.of(runner)


def test_a_signal_id_that_is_received_twice_is_found(signalled: History) -> None:
    at, body = body_at(signalled, "SignalReceived", 1)
    assert isinstance(body, SignalReceived)
    signalled.changed(at, replace(body, signal_id="one")).must_break("I15", at)


def test_a_signal_out_of_order_is_found(signalled: History) -> None:
    at = signalled.at("SignalConsumed")
    lie = SignalConsumed(path="s", signal_sequence=2)
    signalled.changed(at, lie).must_break("I15", at)


def test_a_signal_that_is_consumed_twice_is_found(signalled: History) -> None:
    at = signalled.at("SignalConsumed", 1)
    lie = SignalConsumed(path="t", signal_sequence=1)
    signalled.changed(at, lie).must_break("I15", at)


def test_a_signal_that_was_never_received_is_found(signalled: History) -> None:
    at = signalled.at("SignalConsumed")
    lie = SignalConsumed(path="s", signal_sequence=99)
    signalled.changed(at, lie).must_break("I15", at)


def test_a_signal_away_from_a_wait_is_found(signalled: History) -> None:
    at = signalled.at("TaskCompleted")
    lie = SignalConsumed(path="a", signal_sequence=2)
    signalled.added(at, lie, cause="command:0@3").must_break("I15", at)


def test_a_wait_for_another_signal_is_found(signalled: History) -> None:
    at, body = body_at(signalled, "SignalAwaited")
    assert isinstance(body, SignalAwaited)
    signalled.changed(at, replace(body, signal="no")).must_break("I15", at)


# --- I16 and I17: requests ------------------------------------------------------------


@pytest.fixture
def paused() -> History:
    runner = InstanceRunner(Graph(name="w", chain=(TaskNode(id="a"), TaskNode(id="b"))))
    runner.start(b"1")
    attempt = runner.owed()[0]
    runner.begin(attempt)
    runner.command(PauseWorkflow(instance_id="i", command_id=""))
    runner.finish(attempt)
    runner.command(UnpauseWorkflow(instance_id="i", command_id=""))
    runner.run()
    return History.of(runner)


def test_a_move_under_a_pause_is_found(paused: History) -> None:
    at = paused.at("WorkflowPaused")
    move = paused.events[paused.at("PositionUpdated", 1)].body
    paused.added(at, move).must_break("I16", at)
    owed = f"owed:{paused.events[at].sequence}"
    paused.added(at + 1, move, cause=owed).must_break("I16", at + 1)


def test_a_pause_while_something_runs_is_found(paused: History) -> None:
    at = paused.at("TaskCompleted")
    body = paused.events[paused.at("WorkflowPaused")].body
    paused.added(at, body).must_break("I16", at)


def test_a_pause_or_its_end_that_nobody_asked_for_is_found(paused: History) -> None:
    at = paused.at("PauseRequested")
    paused.dropped(at).must_break("I16", at + 1)
    start = paused.events[paused.at("WorkflowUnpaused")].body
    paused.changed(at, start).must_break("I16", at)


def test_a_second_pause_is_found(paused: History) -> None:
    at, body = body_at(paused, "WorkflowUnpaused")
    again = PauseRequested(command_id="x", reason=None, requested_by=None)
    assert body != again
    paused.changed(at, again).must_break("I16", at)


@pytest.fixture
def cancelled() -> History:
    branches = (
        Branch(name="x", chain=(TaskNode(id="tx"), TaskNode(id="ux"))),
        Branch(name="y", chain=(DelayNode(id="d", duration_ms=9_000),)),
    )
    runner = InstanceRunner(
        Graph(name="w", chain=(ForkNode(id="f", branches=branches), TaskNode(id="j")))
    )
    runner.start(b"1")
    attempt = runner.owed()[0]
    runner.begin(attempt)
    runner.command(CancelWorkflow(instance_id="i", command_id=""))
    runner.finish(attempt)
    return History.of(runner)


def test_a_move_under_a_cancel_is_found(cancelled: History) -> None:
    at = cancelled.at("WorkflowCancelled")
    lie = PositionUpdated(path="f/x/ux", attempt=1, input="result:f/x/tx")
    cancelled.added(at, lie).must_break("I17", at)
    cancelled.added(at, DelayElapsed(path="f/y/d")).must_break("I17", at)


def test_a_cancel_while_something_runs_is_found(cancelled: History) -> None:
    at = cancelled.at("TaskCompleted")
    body = cancelled.events[cancelled.at("WorkflowCancelled")].body
    cancelled.added(at, body).must_break("I17", at)


def test_a_cancel_that_nobody_asked_for_is_found(cancelled: History) -> None:
    at = cancelled.at("CancelRequested")
    body = cancelled.events[cancelled.at("WorkflowCancelled")].body
    cancelled.changed(at, body).must_break("I17", at)


@pytest.mark.parametrize("paths", [(), ("f/x/tx",), ("f/y/d", "f/y/d")])
def test_other_interrupted_paths_are_found(
    cancelled: History, paths: tuple[str, ...]
) -> None:
    at, body = body_at(cancelled, "WorkflowCancelled")
    assert isinstance(body, WorkflowCancelled)
    assert body.interrupted_at == ("f/y/d",)
    cancelled.changed(at, replace(body, interrupted_at=paths)).must_break("I17", at)


def test_a_pause_that_is_not_applied_is_found(paused: History) -> None:
    at = paused.at("WorkflowPaused")
    paused.dropped(at).must_break("I16", at)


def test_another_author_of_a_pause_or_cancel_is_found(
    paused: History, cancelled: History
) -> None:
    at, body = body_at(paused, "WorkflowPaused")
    assert isinstance(body, WorkflowPaused)
    paused.changed(at, replace(body, requested_by="x")).must_break("I16", at)
    at, body = body_at(cancelled, "WorkflowCancelled")
    assert isinstance(body, WorkflowCancelled)
    cancelled.changed(at, replace(body, reason="x")).must_break("I17", at)
