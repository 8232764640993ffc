"""Starting: the first node, conflict policies, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.model.events import (
    CommandAcknowledged,
    CommandRejected,
    Event,
    PositionUpdated,
    WorkflowStarted,
)
from tests.core.instance_runner import InstanceRunner

if TYPE_CHECKING:
    from sayiir_es.core.model.commands import ConflictPolicy

CHAIN = (TaskNode(id="a"), TaskNode(id="b"))


def runner_of(*chain: TaskNode) -> InstanceRunner:
    return InstanceRunner(Graph(name="w", chain=chain or CHAIN))


def code(events: list[Event]) -> str:
    body = events[0].body
    assert isinstance(body, CommandRejected | CommandAcknowledged)
    return body.code


def test_a_start_opens_the_first_node_in_the_same_decision() -> None:
    runner = runner_of()
    events = runner.start(b'{"amount":5}')
    assert [type(event.body) for event in events] == [WorkflowStarted, PositionUpdated]
    assert [event.sequence for event in events] == [1, 2]
    assert {event.cause for event in events} == {"command:0@0"}
    assert {event.run for event in events} == {1}
    assert events[1].body == PositionUpdated(path="a", attempt=1, input="start")


def test_a_chain_runs_to_its_end_and_passes_outputs_on() -> None:
    runner = runner_of()
    runner.tasks = {"a": lambda data, _: data + b"0", "b": lambda data, _: data + b"1"}
    runner.start(b"7")
    runner.run()
    assert runner.output == b"701"
    assert runner.kinds() == [
        "WorkflowStarted",
        "PositionUpdated",
        "TaskCompleted",
        "PositionUpdated",
        "TaskCompleted",
        "WorkflowCompleted",
    ]
    assert runner.executions == [("a", 1), ("b", 1)]


def test_an_unknown_workflow_is_refused_without_a_trace() -> None:
    runner = runner_of()
    events = runner.start(workflow="other")
    assert code(events) == "unknown_workflow"
    assert events[0].sequence == 0
    assert runner.rows.rows == {}


@pytest.mark.parametrize("running", [True, False])
def test_a_second_start_is_refused_under_fail(running: bool) -> None:  # noqa: FBT001
    runner = runner_of()
    runner.start()
    if not running:
        runner.run()
    events = runner.start()
    assert code(events) == "already_exists"
    assert runner.header.run == 1


def test_a_second_start_changes_nothing_under_use_existing() -> None:
    runner = runner_of()
    runner.start()
    runner.run()
    before = runner.output
    assert code(runner.start(conflict_policy="use_existing")) == "unchanged"
    assert runner.output == before


@pytest.mark.parametrize(
    ("policy", "answer"),
    [("fail", "already_exists"), ("use_existing", "unchanged")],
)
def test_a_run_of_another_definition_is_an_existing_run(
    policy: ConflictPolicy, answer: str
) -> None:
    runner = runner_of()
    runner.start()
    runner.graph = Graph(name="w", chain=(TaskNode(id="other"),))
    assert code(runner.start(conflict_policy=policy)) == answer
    events = runner.start(conflict_policy="terminate_existing")
    started = events[1].body
    assert isinstance(started, WorkflowStarted)
    assert started.definition_hash == runner.graph.definition_hash
    assert events[1].run == 2


def test_terminate_existing_ends_the_run_and_begins_the_next() -> None:
    runner = runner_of()
    runner.start(b"1")
    events = runner.start(b"2", conflict_policy="terminate_existing")
    assert [event.kind for event in events] == [
        "WorkflowTerminated",
        "WorkflowStarted",
        "PositionUpdated",
    ]
    assert [event.run for event in events] == [1, 2, 2]
    runner.run()
    assert runner.output == b"2"


def test_terminate_existing_of_an_ended_run_only_begins_the_next() -> None:
    runner = runner_of()
    runner.start()
    runner.run()
    events = runner.start(conflict_policy="terminate_existing")
    assert events[0].kind == "WorkflowStarted"
    assert runner.header.run == 2


def test_a_command_id_is_answered_once() -> None:
    runner = runner_of()
    runner.start(command_id="mail-81")
    again = runner.start(command_id="mail-81")
    assert again[0].body == CommandAcknowledged(
        command="StartWorkflow", command_id="mail-81", code="duplicate", answered_by=1
    )


def test_the_oldest_command_id_is_forgotten_after_256_others() -> None:
    runner = runner_of()
    runner.start(command_id="first")
    for number in range(256):
        runner.start(command_id=f"c{number}", conflict_policy="terminate_existing")
    assert code(runner.start(command_id="c0")) == "duplicate"
    assert code(runner.start(command_id="first")) == "already_exists"


def test_a_repeated_forward_is_a_duplicate() -> None:
    runner = runner_of()
    events = runner.start(command_id="2@7")
    again = runner.command(
        InstanceRunner.start_command("w"), known_origin=True, origin=7
    )
    assert events[0].kind == "WorkflowStarted"
    assert code(again) == "duplicate"


def test_an_instance_id_out_of_bounds_is_a_bad_request_of_nobody() -> None:
    runner = runner_of()
    events = runner.start(instance_id="i" * 257)
    assert code(events) == "bad_request"
    assert (events[0].instance_id, events[0].sequence) == ("", 0)


def test_a_command_id_out_of_bounds_is_a_bad_request() -> None:
    runner = runner_of()
    events = runner.start(command_id="c" * 257)
    assert code(events) == "bad_request"
    assert (events[0].instance_id, events[0].sequence) == ("i", 0)


def test_a_payload_beyond_the_limit_is_refused() -> None:
    runner = runner_of()
    assert code(runner.start(b'"' + b"x" * 768 * 1024 + b'"')) == "too_large"
    assert runner.start(b'"' + b"x" * (768 * 1024 - 2) + b'"')[0].kind == (
        "WorkflowStarted"
    )
