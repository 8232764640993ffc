"""I8, I9 and I10: a lie about what was handed to an executor elsewhere is found."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.model.attempt_events import AttemptPublished
from sayiir_es.core.model.commands import RecordOutcome
from sayiir_es.core.model.inputs import Handout, SlotTaken
from tests.audit.mutations import History, body_at
from tests.core.instance_runner import InstanceRunner

SECRETS = (bytes(16), bytes([1]) * 16)
TASK = TaskNode(id="a", execute="remote", timeout_ms=5_000)
GRAPH = Graph(name="w", chain=(TASK, TaskNode(id="b")))


def hand_out(runner: InstanceRunner, number: int) -> None:
    """The attempt goes elsewhere, for the `number`th time."""
    (owed,) = runner.owed()
    handout = Handout(
        executor=f"e{number}",
        secret_hash=hashlib.sha256(SECRETS[number]).digest(),
        lease_ms=1_000,
    )
    runner.decide(
        SlotTaken(
            instance_id="i",
            run=owed.run,
            path=owed.path,
            attempt=owed.attempt,
            restart=number > 0,
            handout=handout,
        )
    )


@pytest.fixture
def handed_out() -> History:
    """An attempt that was handed out, lost, and handed out again."""
    runner = InstanceRunner(graph=GRAPH)
    runner.start()
    hand_out(runner, 0)
    hand_out(runner, 1)
    outcome = RecordOutcome(
        instance_id="i",
        command_id="o",
        run=1,
        path="a",
        attempt=1,
        result="completed",
        output=b"2",
        worker="e1",
        secret=SECRETS[1],
    )
    runner.command(outcome)
    runner.run()
    return History.of(runner)


@pytest.mark.parametrize(
    "lie",
    [
        {"path": "b"},
        {"attempt": 2},
        {"attempt": 0},
        {"secret_hash": b""},
        {"secret_hash": bytes(31)},
        {"executor": ""},
        {"lease_ms": 0},
        {"lease_ms": -1},
    ],
)
@pytest.mark.parametrize("number", [0, 1])
def test_each_field_of_a_hand_out_is_held_to_its_rule(
    handed_out: History, number: int, lie: dict[str, Any]
) -> None:
    at, body = body_at(handed_out, "AttemptPublished", number)
    assert isinstance(body, AttemptPublished)
    lied = replace(body, **lie)
    handed_out.changed(at, lied).must_break("I9", at)


def test_a_hand_out_of_no_node_is_found(handed_out: History) -> None:
    at, body = body_at(handed_out, "AttemptPublished")
    assert isinstance(body, AttemptPublished)
    handed_out.changed(at, replace(body, path="none")).must_break("I11", at)


def test_a_hand_out_that_is_left_out_is_missed_by_what_comes_of_it(
    handed_out: History,
) -> None:
    at = handed_out.at("AttemptPublished", 1)
    completed = handed_out.at("TaskCompleted")
    handed_out.dropped(at).must_break("I8", completed - 1)


def test_a_hand_out_that_is_repeated_is_found(handed_out: History) -> None:
    for number in (0, 1):
        at, body = body_at(handed_out, "AttemptPublished", number)
        handed_out.added(at + 1, body).must_break("I9", at + 1)


def test_a_hand_out_without_its_restart_is_found(handed_out: History) -> None:
    at = handed_out.at("AttemptRestarted")
    handed_out.dropped(at).must_break("I9", at)


def test_a_hand_out_without_its_deadline_is_found(handed_out: History) -> None:
    at = handed_out.at("DeadlineSet")
    handed_out.dropped(at).must_break("I10", at)


def test_a_hand_out_behind_the_end_of_its_attempt_is_found(handed_out: History) -> None:
    _, body = body_at(handed_out, "AttemptPublished")
    completed = handed_out.at("TaskCompleted")
    changed = handed_out.added(completed + 1, body)
    assert changed.violations()[0].offset == completed + 1


def test_an_outcome_that_no_command_brought_is_found(handed_out: History) -> None:
    completed = handed_out.at("TaskCompleted")
    handed_out.changed(completed, cause="outcome:a#1").must_break("I8", completed)
