"""I1 and others of forks: a lie about what an instance began with is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import DelayNode, Retry, SignalNode, TaskNode
from sayiir_es.core.model.commands import SendSignal
from sayiir_es.core.model.events import (
    CommandDeferred,
    CommandRejected,
    PositionUpdated,
    SignalConsumed,
    TaskCompleted,
    WorkflowForked,
    WorkflowUnpaused,
)
from tests.audit.mutations import History
from tests.core.forked_runner import fork
from tests.core.instance_runner import InstanceRunner

GRAPH = Graph(
    name="w",
    chain=(
        SignalNode(id="ok", signal="ok"),
        TaskNode(id="a", retry=Retry(max_retries=2, initial_delay_ms=50)),
        DelayNode(id="nap", duration_ms=1_000),
        TaskNode(id="b", timeout_ms=5_000),
        TaskNode(id="c"),
    ),
)
SENT = SendSignal(instance_id="i", command_id="", signal="ok", payload=b'"s"')


def source() -> InstanceRunner:
    """Signals before the start, one failed attempt, a delay, two tasks."""
    runner = InstanceRunner(GRAPH)
    runner.tasks["a"] = lambda _, attempt: b'"a"' if attempt > 1 else "no"
    runner.command(SENT)
    runner.start(b"1")
    runner.run()
    return runner


def forked_at(kind: str, number: int = 0) -> History:
    """A fork, much later, at an event of the source; it verifies clean."""
    original = source()
    at = [n for n, e in enumerate(original.events) if e.kind == kind][number] + 1
    runner = InstanceRunner(GRAPH, now=original.now + 1_000_000, tasks=original.tasks)
    fork(runner, original.events, at)
    runner.run()
    assert runner.header.phase == "completed"
    return History.of(runner)


@pytest.fixture
def history() -> History:
    return forked_at("DeadlineSet")


def body_of(history: History, kind: str, number: int = 0) -> tuple[int, Any]:
    at = history.at(kind, number)
    return at, history.events[at].body


def test_a_fork_in_the_middle_of_an_instance_is_found() -> None:
    plain = History.of(source())
    at = plain.at("SignalConsumed")
    body = WorkflowForked(
        command_id="x", source_instance_id="s", source_run=1, source_sequence=1
    )
    lie = plain.added(at + 1, body, cause="command:0@7")
    replace(lie, commands=(*lie.commands, 7)).must_break("I1", at + 1)


def test_a_second_fork_behind_copies_is_found(history: History) -> None:
    at, body = body_of(history, "WorkflowForked")
    history.added(at + 3, body).must_break("I1", at + 3)


def test_fewer_copies_than_the_fork_names_are_found(history: History) -> None:
    at, body = body_of(history, "WorkflowForked")
    many = replace(body, source_sequence=body.source_sequence + 3)
    behind = history.at("DeadlineSet", 1)
    history.changed(at, many).must_break("I1", behind)


def test_more_copies_than_the_fork_names_are_found(history: History) -> None:
    at, body = body_of(history, "WorkflowForked")
    few = replace(body, source_sequence=body.source_sequence - 1)
    history.changed(at, few).must_break("I1", history.at("DeadlineSet"))


def test_no_copies_at_all_are_found(history: History) -> None:
    at, body = body_of(history, "WorkflowForked")
    none = replace(body, source_sequence=0)
    history.changed(at, none).must_break("I1", at)


def test_a_copy_that_is_left_out_is_found(history: History) -> None:
    at = history.at("SignalConsumed")
    history.dropped(at).must_break("I11", at)


def test_copies_that_end_with_the_log_are_found(history: History) -> None:
    at = history.at("SignalConsumed")
    history.kept(at).must_break("I1", at)


def test_copies_in_a_decision_of_their_own_are_found(history: History) -> None:
    at = history.at("SignalConsumed")
    history.changed(at, cause="owed:4").must_break("I1", at)


def test_a_fork_that_no_command_asked_for_is_found(history: History) -> None:
    at = history.at("WorkflowForked")
    changed = history
    for offset, event in enumerate(history.events):
        if event.cause == history.events[at].cause:
            changed = changed.changed(offset, cause="owed:0")
    changed.must_break("I3", at)


def test_a_fork_of_a_run_is_found(history: History) -> None:
    at = history.at("WorkflowForked")
    history.changed(at, run=1).must_break("I7", at)


def test_a_copy_with_a_broken_reference_is_found(history: History) -> None:
    at, body = body_of(history, "PositionUpdated")
    assert isinstance(body, PositionUpdated)
    assert body.input == "signal:2"
    for lie in ("signal:1", "start", "null"):
        history.changed(at, replace(body, input=lie)).must_break("I19", at)


def test_a_copy_that_consumes_the_sources_sequence_is_found(history: History) -> None:
    at, body = body_of(history, "SignalConsumed")
    assert isinstance(body, SignalConsumed)
    old = replace(body, signal_sequence=body.signal_sequence - 1)
    history.changed(at, old).must_break("I15", at)


def test_a_copy_of_a_result_that_was_not_due_is_found(history: History) -> None:
    at, body = body_of(history, "TaskCompleted")
    assert isinstance(body, TaskCompleted)
    history.changed(at, replace(body, attempt=1)).must_break("I8", at)


def test_a_deadline_of_the_source_that_stands_on_is_found(history: History) -> None:
    at = history.at("AttemptWithdrawn")
    history.dropped(at, 2).must_break("I10", history.at("DeadlineSet", 1) - 2)


def test_anything_but_moves_behind_the_copies_is_found(history: History) -> None:
    at = history.at("DeadlineCleared")
    body = WorkflowUnpaused(command_id="x", reason=None, requested_by=None)
    history.added(at + 1, body).must_break("I1", at + 1)
    completed = TaskCompleted(path="b", attempt=1, output=b"1", loop="none", worker="w")
    history.added(at + 1, completed).must_break("I1", at + 1)


def test_times_of_what_follows_the_copies_are_of_the_fork() -> None:
    history = forked_at("TaskCompleted")
    at, body = body_of(history, "DelayStarted")
    history.changed(at, replace(body, due_at=body.due_at - 1)).must_break("I10", at)


def test_a_time_of_a_copy_is_the_sources() -> None:
    history = forked_at("DelayStarted")
    at, body = body_of(history, "DelayStarted")
    assert body.due_at < history.events[at].at
    elapsed = history.at("DelayElapsed")
    assert history.events[elapsed].cause == f"timer:nap@{body.due_at}"


# --- deferred -------------------------------------------------------------------------

DEFERRED = CommandDeferred(
    command="ForkWorkflow",
    command_id="0@0",
    deferred_instance_id="i",
    source_instance_id="s",
    source_sequence=5,
)


def deferred(history: History, **fields: object) -> tuple[int, History]:
    """The same history, whose fork was deferred first, and where that stands."""
    at, forked = body_of(history, "WorkflowForked")
    assert at == 1
    asked = {"source_sequence": forked.source_sequence} | fields
    body = replace(DEFERRED, **asked)
    cause = history.events[at].cause
    return at, history.added(at, body).changed(at, cause=cause, claim=0)


def test_a_fork_may_be_deferred_and_wait_at_the_end(history: History) -> None:
    at, changed = deferred(history)
    assert not changed.violations()
    assert not changed.kept(at + 1).violations()


def test_a_command_that_is_deferred_twice_is_found(history: History) -> None:
    at, changed = deferred(history)
    body, cause = changed.events[at].body, changed.events[at].cause
    changed.added(at + 1, body, cause=cause).must_break("I3", at + 1, "")


def test_a_deferred_command_that_is_answered_twice_is_found(history: History) -> None:
    at, changed = deferred(history)
    event = changed.events[at]
    rejected = CommandRejected(
        command="ForkWorkflow", command_id="0@0", code="busy", message="expected, but"
    )
    first = changed.added(at + 1, rejected, cause=event.cause)
    first = first.changed(at + 1, instance_id="i")
    assert not first.kept(at + 2).violations()
    first.must_break("I3", at + 2)


@pytest.mark.parametrize(
    "fields",
    [
        {"deferred_instance_id": "j"},
        {"source_instance_id": "another"},
        {"source_sequence": 1},
    ],
)
def test_an_answer_to_another_fork_than_was_deferred_is_found(
    history: History, fields: dict[str, object]
) -> None:
    at, changed = deferred(history, **fields)
    changed.must_break("I3", at + 1)


def test_a_deferral_in_an_instance_is_found(history: History) -> None:
    at, changed = deferred(history)
    changed.changed(at, instance_id="i").must_break("I5", at)


def test_a_forwarded_fork_that_is_deferred_twice_is_found(history: History) -> None:
    end = len(history.events)
    twice = history.added(end, DEFERRED, DEFERRED)
    for number in range(2):
        twice = twice.changed(
            end + number,
            instance_id="",
            run=0,
            sequence=0,
            cause=f"command:0@{7 + number}<1@5",
        )
    twice = replace(twice, commands=(*twice.commands, 7, 8))
    assert not twice.kept(end + 1).violations()
    twice.must_break("I3", end + 1, "")
