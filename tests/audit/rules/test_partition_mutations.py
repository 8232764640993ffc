"""I1–I7: a lie about places, owners, commands, times and ends is found where it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sayiir_es.audit import Checker
from sayiir_es.core.graph.graph import Graph
from sayiir_es.core.graph.nodes import Retry, TaskNode
from sayiir_es.core.graph.record import record_of_graph
from sayiir_es.core.model.commands import SendSignal
from sayiir_es.core.model.events import CommandRejected, PauseRequested
from sayiir_es.core.partitions import partition_of
from tests.audit.instance_logs import records_of
from tests.audit.mutations import History, check_first
from tests.core.instance_runner import InstanceRunner

if TYPE_CHECKING:
    from sayiir_es.log.port import Record


@pytest.fixture
def taken_over() -> History:
    """A task that began again under a second owner."""
    runner = InstanceRunner(
        Graph(name="w", chain=(TaskNode(id="a", retry=Retry(max_retries=1)),))
    )
    runner.start(b"1")
    runner.crash_in_attempt()
    for _ in range(10):
        runner.crash_in_attempt()
    runner.take_over()
    return History.of(runner)


# --- I1 -------------------------------------------------------------------------------


def test_a_dropped_event_leaves_a_gap_in_the_sequence(chain: History) -> None:
    at = chain.at("TaskCompleted")

    def drop(records: list[Record]) -> None:
        del records[at]
        records[at:] = [replace(one, offset=one.offset - 1) for one in records[at:]]

    check_first(chain.violations(drop), "I1", at)


def test_a_dropped_record_leaves_a_hole(chain: History) -> None:
    at = chain.at("CommandRejected", 2)

    def drop(records: list[Record]) -> None:
        del records[at - 1]

    check_first(chain.violations(drop), "I1", at, "")


def test_a_repeated_sequence_is_found(chain: History) -> None:
    at = chain.at("TaskCompleted", 1)
    sequence = chain.events[at - 1].sequence
    chain.changed(at, sequence=sequence).must_break("I1", at)


def test_two_events_that_changed_places_are_found(chain: History) -> None:
    one, other = chain.at("TaskCompleted"), chain.at("PositionUpdated", 1)

    def swap(records: list[Record]) -> None:
        records[one], records[other] = (
            replace(records[other], offset=one),
            replace(records[one], offset=other),
        )

    check_first(chain.violations(swap), "I1", one)


def test_an_instance_that_does_not_begin_with_a_start_is_found(chain: History) -> None:
    chain.dropped(chain.at("WorkflowStarted")).must_break("I1", 1)


# --- I2 -------------------------------------------------------------------------------


def test_a_claim_that_nobody_made_is_found(chain: History) -> None:
    at = chain.at("TaskCompleted")
    chain.changed(at, claim=3).must_break("I2", at)


def test_an_event_that_denies_its_header_is_found(chain: History) -> None:
    at = chain.at("TaskCompleted")
    other = records_of(chain.changed(at, claim=7).events)[at]

    def change(records: list[Record]) -> None:
        records[at] = replace(records[at], value=other.value)

    check_first(chain.violations(change), "I2", at)


def test_a_take_over_under_another_claim_is_found(taken_over: History) -> None:
    at = taken_over.at("TaskFailed" if _failed(taken_over) else "RetryRecorded")
    assert taken_over.events[at].cause.startswith("takeover:")
    taken_over.changed(at, cause="takeover:0").must_break("I2", at)


def _failed(history: History) -> bool:
    return any(event.kind == "TaskFailed" for event in history.events)


# --- I3 -------------------------------------------------------------------------------


def test_a_command_without_an_answer_is_found(chain: History) -> None:
    at = chain.at("CommandRejected", 1)
    chain.dropped(at).must_break("I3", at)


def test_a_command_that_is_answered_twice_is_found(chain: History) -> None:
    at = chain.at("CommandRejected", 2)
    cause = chain.events[at - 1].cause
    chain.changed(at, cause=cause).must_break("I3", at)


def test_answers_in_another_order_are_found(chain: History) -> None:
    one, other = chain.at("CommandRejected"), chain.at("CommandRejected", 2)
    chain.swapped(one, other).must_break("I3", one)


def test_an_answer_to_no_command_is_found(chain: History) -> None:
    at = chain.at("CommandRejected", 2)
    chain.changed(at, cause="command:0@99").must_break("I3", at)


def test_a_command_of_another_partition_is_found(chain: History) -> None:
    at = chain.at("CommandRejected", 2)
    chain.changed(at, cause="command:1@3").must_break("I3", at)


def test_a_request_without_a_command_is_found(chain: History) -> None:
    at = chain.at("TaskCompleted")
    body = PauseRequested(command_id="0@9", reason=None, requested_by=None)
    changed = chain.added(at, body, cause="owed:2")
    changed.kept(at + 1).must_break("I3", at)


# --- I4 to I6 -------------------------------------------------------------------------


def test_time_that_runs_back_is_found(chain: History) -> None:
    at = chain.at("TaskCompleted")
    chain.changed(at, at=5).must_break("I4", at)


def test_a_foreign_key_is_found(chain: History) -> None:
    at = chain.at("TaskCompleted")

    def change(records: list[Record]) -> None:
        records[at] = replace(records[at], key=b"j")

    check_first(chain.violations(change), "I5", at)


def test_an_instance_on_the_wrong_partition_is_found(chain: History) -> None:
    wrong = 1 - partition_of(b"i", 2)
    checker = Checker(partitions=2)
    checker.take_definition(record_of_graph(chain.runner.graph))
    violations = [
        violation
        for one in records_of(chain.events)
        for violation in checker.take(wrong, one)
    ]
    at = chain.at("WorkflowStarted")
    assert (violations[0].invariant, violations[0].partition) == ("I5", wrong)
    assert (violations[0].offset, violations[0].instance_id) == (at, "i")


@pytest.mark.parametrize("value", [b"", b"\xc3\x01unknown!rest", None])
def test_what_is_no_event_is_found(chain: History, value: bytes | None) -> None:
    at = chain.at("TaskCompleted")

    def change(records: list[Record]) -> None:
        records[at] = replace(records[at], value=value)

    check_first(chain.violations(change), "I6", at)


def test_a_cut_event_and_one_without_headers_are_found(chain: History) -> None:
    at = chain.at("TaskCompleted")

    def cut(records: list[Record]) -> None:
        records[at] = replace(records[at], value=(records[at].value or b"")[:-3])

    def strip(records: list[Record]) -> None:
        records[at] = replace(records[at], headers=())

    check_first(chain.violations(cut), "I6", at)
    check_first(chain.violations(strip), "I6", at)


def test_a_header_of_another_kind_is_found(chain: History) -> None:
    at = chain.at("TaskCompleted")

    def change(records: list[Record]) -> None:
        headers = (("kind", b"DelayElapsed"), ("claim", b"0"))
        records[at] = replace(records[at], headers=headers)

    check_first(chain.violations(change), "I6", at)


# --- what does not count --------------------------------------------------------------


def test_what_a_displaced_owner_wrote_breaks_nothing(taken_over: History) -> None:
    at = taken_over.at("PartitionClaimed", 1)
    late = replace(taken_over.events[2], claim=0)
    events = [*taken_over.events[: at + 1], late]
    records = records_of(events)
    checker = Checker(partitions=1)
    checker.take_definition(record_of_graph(taken_over.runner.graph))
    assert not [violation for one in records for violation in checker.take(0, one)]


def test_a_rejection_of_an_instance_that_exists_has_a_sequence(chain: History) -> None:
    at = chain.at("CommandRejected", 2)
    assert isinstance(chain.events[at].body, CommandRejected)
    chain.changed(at, sequence=0, run=0).must_break("I1", at)


def test_a_signal_behind_the_end_is_found(chain: History) -> None:
    signals = InstanceRunner(chain.runner.graph)
    signals.command(
        SendSignal(instance_id="i", command_id="", signal="s", payload=b"1")
    )
    at = chain.at("CommandRejected", 2)
    chain.changed(at, signals.events[0].body).must_break("I7", at)


def test_a_claim_with_a_cause_is_found(chain: History) -> None:
    chain.changed(0, cause="owed:1").must_break("I2", 0, "")


def test_a_rest_that_follows_another_event_is_found(chain: History) -> None:
    at = chain.at("PositionUpdated", 1)
    chain.changed(at, cause="owed:1").must_break("I11", at)
