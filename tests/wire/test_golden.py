"""Bytes that are on topics already: they are read, and written, the same for ever.

`golden.json` is frozen: never change an entry of it. A new kind adds an entry, which
`tests.wire.examples.golden_bytes` makes; a new version of a kind adds an entry under
its name with the number of the version after it.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.commands import (
    DebounceStart,
    RetryWorkflow,
    SendSignal,
    StartWorkflow,
)
from sayiir_es.core.model.events import (
    Body,
    InstanceReleased,
    PartitionClaimed,
    RetryRecorded,
    SignalAwaited,
    SignalReceived,
    SignalTimedOut,
    TaskCompleted,
    TaskFailed,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowRetried,
    WorkflowStarted,
)
from sayiir_es.wire.attempts import decode_attempt
from sayiir_es.wire.commands import decode_command
from sayiir_es.wire.errors import UnreadableError
from sayiir_es.wire.events import decode_event
from sayiir_es.wire.schema import (
    ATTEMPT_NAMESPACE,
    COMMAND_NAMESPACE,
    EVENT_NAMESPACE,
    SNAPSHOT_NAMESPACE,
)
from sayiir_es.wire.snapshots import decode_snapshot
from tests.wire.examples import (
    ATTEMPTS,
    COMMANDS,
    EVENTS,
    SNAPSHOT,
    attempt_name,
    golden_bytes,
    minimal_attempt,
    minimal_command,
    minimal_event,
    minimal_snapshot,
)

if TYPE_CHECKING:
    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.model.events import Event
    from sayiir_es.wire.attempts import AttemptRecord

GOLDEN: dict[str, dict[str, str]] = json.loads(
    (Path(__file__).parent / "golden.json").read_text(encoding="utf-8")
)["bytes"]


def name_and_version(entry: str) -> tuple[str, int]:
    """Return the kind and the version of an entry's name."""
    name, _, version = entry.rpartition(".")
    return (name, int(version)) if version.isdecimal() else (entry, 1)


NEWEST = {
    name_and_version(entry)[0]: GOLDEN[entry]
    for entry in sorted(GOLDEN, key=name_and_version)
}


def test_every_kind_command_and_snapshot_is_written_as_it_always_was() -> None:
    assert golden_bytes() == NEWEST


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.kind)
def test_golden_bytes_of_an_event_are_read(event: Event) -> None:
    golden = NEWEST[f"{EVENT_NAMESPACE}.{event.kind}"]
    assert decode_event(bytes.fromhex(golden["populated"])) == event
    minimal = decode_event(bytes.fromhex(golden["minimal"]))
    assert minimal == minimal_event(event.kind)


@pytest.mark.parametrize(
    "kind",
    [
        RetryRecorded,
        TaskFailed,
        TaskCompleted,
        WorkflowFailed,
        WorkflowCancelled,
        WorkflowRetried,
        InstanceReleased,
        SignalAwaited,
        SignalTimedOut,
        WorkflowStarted,
        SignalReceived,
    ],
)
def test_what_a_first_version_does_not_say_is_left_out(kind: type[Body]) -> None:
    golden = GOLDEN[f"{EVENT_NAMESPACE}.{kind.__name__}"]
    newest = next(event for event in EVENTS if isinstance(event.body, kind))
    minimal = minimal_event(kind.__name__)
    later = {
        one.name: one.default for one in fields(kind) if one.default is not MISSING
    }
    assert later
    for text, event in ((golden["populated"], newest), (golden["minimal"], minimal)):
        body = replace(event.body, **later)
        assert decode_event(bytes.fromhex(text)) == replace(event, body=body)


def test_a_retry_of_the_first_version_changes_no_input() -> None:
    golden = GOLDEN[f"{COMMAND_NAMESPACE}.RetryWorkflow"]
    value = bytes.fromhex(golden["populated"])
    command = decode_command(key=None, value=value, partition=0, offset=0)
    assert command == RetryWorkflow(instance_id="order-7", command_id="r")


def test_golden_bytes_of_a_snapshot_are_read() -> None:
    golden = NEWEST[f"{SNAPSHOT_NAMESPACE}.InstanceSnapshot"]
    assert decode_snapshot(bytes.fromhex(golden["populated"])) == SNAPSHOT
    assert decode_snapshot(bytes.fromhex(golden["minimal"])) == minimal_snapshot()


@pytest.mark.parametrize("record", ATTEMPTS, ids=attempt_name)
def test_golden_bytes_of_an_attempt_are_read(record: AttemptRecord) -> None:
    golden = NEWEST[f"{ATTEMPT_NAMESPACE}.{attempt_name(record)}"]
    assert decode_attempt(bytes.fromhex(golden["populated"])) == record
    assert decode_attempt(bytes.fromhex(golden["minimal"])) == minimal_attempt(record)


def test_a_claim_of_before_there_were_checkpoints_has_none() -> None:
    golden = GOLDEN[f"{EVENT_NAMESPACE}.PartitionClaimed"]
    for text, newest in (
        (golden["populated"], EVENTS[0]),
        (golden["minimal"], minimal_event("PartitionClaimed")),
    ):
        assert isinstance(newest.body, PartitionClaimed)
        body = replace(newest.body, digest_end=0, digest=b"", signature=b"")
        assert decode_event(bytes.fromhex(text)) == replace(newest, body=body)


@pytest.mark.parametrize(
    "command", COMMANDS, ids=lambda command: type(command).__name__
)
def test_golden_bytes_of_a_command_are_read(command: Command) -> None:
    name = type(command).__name__
    golden = NEWEST[f"{COMMAND_NAMESPACE}.{name}"]
    minimal = minimal_command(name)
    assert read(golden["populated"]) == command
    if isinstance(minimal, StartWorkflow | SendSignal | DebounceStart):
        # Read, but no bytes at all are no payload: once they were left to the tasks.
        with pytest.raises(UnreadableError, match="expected JSON, but '' at"):
            read(golden["minimal"])
    else:
        assert read(golden["minimal"]) == minimal


def read(golden: str) -> Command:
    """Return the command of golden bytes."""
    value = bytes.fromhex(golden)
    return decode_command(key=None, value=value, partition=0, offset=0)
