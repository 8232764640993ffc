"""The position behind answers to commands that were deferred."""

from __future__ import annotations

from dataclasses import replace

from sayiir_es.core.model.events import (
    Body,
    CommandDeferred,
    CommandRejected,
    Event,
    SignalReceived,
    WorkflowForked,
)
from sayiir_es.core.model.position import Position, advanced, parse_command_cause

DEFERRED = CommandDeferred(
    command="ForkWorkflow",
    command_id="c",
    deferred_instance_id="i",
    source_instance_id="s",
    source_sequence=1,
)
FORKED = WorkflowForked(
    command_id="c", source_instance_id="s", source_run=1, source_sequence=1
)
COPIED = SignalReceived(command_id="d", signal="go", signal_id=None, payload=b"1")
REJECTED = CommandRejected(
    command="ForkWorkflow", command_id="c", code="busy", message="expected, but"
)


def behind(position: Position, cause: str, *bodies: Body) -> Position:
    for body in bodies:
        event = Event(
            claim=-1, instance_id="", run=0, sequence=0, at=1, cause=cause, body=body
        )
        position = advanced(position, event, bytes(32), 8)
    return position


def test_a_deferred_command_is_passed_and_remembered_until_its_answer() -> None:
    position = behind(Position(), "command:0@4<3@9", DEFERRED)
    assert position.next_command == 5
    (waiting,) = position.deferred.values()
    assert waiting.position == parse_command_cause("command:0@4<3@9")
    assert waiting.command.source_instance_id == "s"
    passed = behind(position, "command:0@5", REJECTED)
    assert passed.deferred == position.deferred
    for answer in ((REJECTED,), (FORKED, COPIED)):
        answered = behind(passed, "command:0@4<3@9", *answer)
        assert answered.deferred == {}
        assert answered.next_command == 6


def test_its_origin_counts_when_it_is_deferred_and_never_goes_back() -> None:
    position = behind(Position(), "command:0@4<3@9", DEFERRED)
    assert position.origins == {3: 9}
    later = behind(position, "command:0@5<3@12", COPIED)
    answered = behind(later, "command:0@4<3@9", FORKED, COPIED)
    assert answered.origins == {3: 12}


def test_a_position_is_the_same_however_it_was_reached() -> None:
    position = behind(Position(), "command:0@1", DEFERRED)
    position = behind(position, "command:0@2", DEFERRED)
    one = behind(position, "command:0@1", FORKED)
    assert list(one.deferred) == [2]
    assert replace(one, deferred={}) == replace(
        behind(position, "command:0@2", REJECTED), deferred={}
    )
