"""Checks at the end of a simulated world; every violation is a sentence.

The topic is checked by a reader that shares no code with the engine, and by
`audit verify`; the executions by what the topic says was due; the outputs by a model
that knows no events; the live stores by a fold of the topic.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sayiir_es.audit import verify_records
from sayiir_es.core.model.commands import StartWorkflow
from sayiir_es.engine.attempts.remote.leases import TICK_S
from sayiir_es.engine.fold import Fold
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.log.port import Chunk, Topic
from sayiir_es.wire.commands import decode_command
from sayiir_es.wire.signing import PublicKeys
from tests.kafka.reader import TERMINAL, PartitionContent, TopicRecord
from tests.kafka.verdict import find_violations
from tests.simulation import rules
from tests.simulation.fleet import KEY
from tests.simulation.log import records_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sayiir_es.core.graph.graph import Graph
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.memory.log import MemoryLog
    from sayiir_es.log.port import Record
    from tests.kafka.reader import ReadEvent

DUE = frozenset({"PositionUpdated", "RetryRecorded"})
AGAIN = frozenset({"AttemptRestarted", "AttemptWithdrawn"})
HANDOUTS = frozenset({"AttemptPublished", "AttemptRestarted"})
WATCHED_EVERY_MS = int(TICK_S * 1000)
RUNS_BEGIN = frozenset({"WorkflowStarted", "WorkflowRetried"})


Token = tuple[str, int, str, int]


@dataclass(frozen=True, slots=True)
class Execution:
    """A task function began; `log_end` is the end offset of its events at that time."""

    token: Token
    log_end: int
    timed: bool
    elsewhere: bool = False


def read_all(log: MemoryLog) -> dict[int, PartitionContent]:
    """Every partition of the topic, by an independent reader."""
    contents: dict[int, PartitionContent] = {}
    for partition in range(log.partitions):
        content = contents[partition] = PartitionContent()
        for record in records_of(log, Topic.EVENTS, partition):
            take(content, partition, record)
    return contents


def take(content: PartitionContent, partition: int, record: Record) -> None:
    """Give the reader its next record."""
    content.take(
        TopicRecord(
            partition=partition,
            offset=record.offset,
            key=record.key,
            value=record.value,
            headers=dict(record.headers),
        )
    )


def commands_of(log: MemoryLog) -> dict[int, set[int]]:
    """The offsets of all commands, by partition."""
    return {
        partition: {r.offset for r in records_of(log, Topic.COMMANDS, partition)}
        for partition in range(log.partitions)
    }


def of_topic(
    commands: Mapping[int, set[int]],
    partitions: Mapping[int, PartitionContent],
    graphs: Mapping[str, Graph],
) -> list[str]:
    """The violations that the topic alone shows."""
    return [
        *find_violations(partitions, commands),
        *rules.of_instances(partitions, graphs),
    ] + [
        f"command {partition}@{offset} was never answered"
        for partition, content in partitions.items()
        for offset in sorted(commands[partition] - _answered(content))
    ]


def of_log(log: MemoryLog) -> Iterator[str]:
    """What `audit verify` finds in the log, whose checkpoints are all signed."""
    keys = PublicKeys([KEY.public_key()])
    checked = verify_records(_records(log), partitions=log.partitions, keys=keys)
    for violation in checked:
        yield str(violation)


def _records(log: MemoryLog) -> Iterator[tuple[Topic, int, Record]]:
    for record in records_of(log, Topic.DEFINITIONS, 0):
        yield Topic.DEFINITIONS, 0, record
    for partition in range(log.partitions):
        for topic in (Topic.COMMANDS, Topic.EVENTS):
            for record in records_of(log, topic, partition):
                yield topic, partition, record


def _answered(content: PartitionContent) -> set[int]:
    return {
        int(event.cause.partition("<")[0].rpartition("@")[2])
        for event in content.valid
        if event.cause.startswith("command:") and event.kind != "CommandDeferred"
    }


def forked_instances(partitions: Mapping[int, PartitionContent]) -> set[str]:
    """The instances that began with the history of another."""
    return {
        event.instance_id
        for content in partitions.values()
        for event in content.valid
        if event.kind == "WorkflowForked"
    }


def of_outputs(
    partitions: Mapping[int, PartitionContent],
    outputs: Mapping[str, object],
    may_be_cancelled: frozenset[str],
) -> Iterator[str]:
    """Every instance must have ended with the output of the model."""
    ends: dict[str, ReadEvent] = {}
    for content in partitions.values():
        for event in content.valid:
            if event.kind in TERMINAL:
                ends[event.instance_id] = event
    for instance_id, output in outputs.items():
        end = ends.get(instance_id)
        if end is None:
            yield f"{instance_id} has not ended"
        elif (
            end.kind == "WorkflowCancelled" and instance_id in may_be_cancelled
        ) or is_undone(end):
            pass
        elif end.kind != "WorkflowCompleted":
            yield f"{instance_id} ended with {end.kind}: {end.body}"
        elif json.loads(end.body["output"]) != output:
            yield f"{instance_id} gave {end.body['output']!r}, expected {output!r}"


def is_undone(end: ReadEvent) -> bool:
    """Whether a run has failed, and all that it did was undone."""
    return (
        end.kind == "WorkflowFailed"
        and bool(end.body["compensated"])
        and not end.body["not_compensated"]
    )


def failed_instances(partitions: Mapping[int, PartitionContent]) -> set[str]:
    """The instances whose last run has failed, and may be retried."""
    instance_ids: set[str] = set()
    for content in partitions.values():
        for event in content.valid:
            if event.kind == "WorkflowFailed" and not is_undone(event):
                instance_ids.add(event.instance_id)
            elif event.kind in RUNS_BEGIN:
                instance_ids.discard(event.instance_id)
    return instance_ids


def of_executions(
    partitions: Mapping[int, PartitionContent], executions: list[Execution]
) -> Iterator[str]:
    """Every execution must have been due before; only a restart repeats one."""
    valid = [event for content in partitions.values() for event in content.valid]
    copies = rules.copies_of(valid)
    due = _due(valid)
    deadlines: dict[Token, int] = {}
    again: Counter[Token] = Counter()
    times = Counter(execution.token for execution in executions)
    for event in valid:
        if event.where in copies:
            continue
        if event.kind == "DeadlineSet":
            deadlines.setdefault(token_of(event), event.offset)
        elif event.kind in AGAIN:
            again[token_of(event)] += 1
        elif event.kind == "TaskCompleted" and not times[token_of(event)]:
            yield f"{event.where}: {token_of(event)} completed, but never ran"
    for token, count in times.items():
        if count > 1 + again[token]:
            yield f"{token} ran {count} times, but was restarted {again[token]} times"
    for execution in executions:
        offset = (deadlines if execution.timed else due).get(execution.token)
        if offset is None or offset >= execution.log_end:
            yield f"{execution.token} ran, but was due only at {offset}"


def of_starts(log: MemoryLog) -> Iterator[str]:
    """The start of a child that is sent again is the same command."""
    ids: dict[str, set[str]] = {}
    for partition in range(log.partitions):
        for record in records_of(log, Topic.COMMANDS, partition):
            value = record.value or b""
            if value.startswith(b"{"):
                continue  # of a user
            command = decode_command(
                key=record.key, value=value, partition=partition, offset=record.offset
            )
            if isinstance(command, StartWorkflow) and command.parent_secret:
                ids.setdefault(command.parent_secret, set()).add(command.command_id)
    yield from (
        f"a start of one child has the ids {sorted(names)}"
        for names in ids.values()
        if len(names) > 1
    )


def of_handouts(
    partitions: Mapping[int, PartitionContent], executions: list[Execution]
) -> Iterator[str]:
    """What begins elsewhere was handed out before, each time."""
    offsets: dict[Token, list[int]] = {}
    for content in partitions.values():
        for event in content.valid:
            if event.kind == "AttemptPublished":
                offsets.setdefault(token_of(event), []).append(event.offset)
    begun: Counter[Token] = Counter()
    for execution in executions:
        if not execution.elsewhere:
            continue
        begun[execution.token] += 1
        handed_out = offsets.get(execution.token, ())
        before = sum(offset < execution.log_end for offset in handed_out)
        if before < begun[execution.token]:
            yield (
                f"{execution.token} began elsewhere {begun[execution.token]} times, "
                f"but was handed out {before} times before"
            )


def of_leases(
    log: MemoryLog, partitions: Mapping[int, PartitionContent]
) -> Iterator[str]:
    """What is elsewhere is lost only with its lease, also to a new owner.

    Time is that of the log, which no clock of a worker moves. An owner whose append was
    uncertain knows what it has not handed out, though the log says that it did.
    """
    for partition, content in partitions.items():
        records = {r.offset: r for r in records_of(log, Topic.EVENTS, partition)}
        copies = rules.copies_of(content.valid)
        lent: dict[Token, ReadEvent] = {}
        restarts: Counter[Token] = Counter()
        owners: dict[int, object] = {}
        for event in content.valid:
            if event.kind == "PartitionClaimed":
                owners[event.offset] = event.body["owner"]
            if event.kind == "AttemptWithdrawn":
                lent.pop(token_of(event), None)  # nobody has it any more
            if event.kind not in HANDOUTS or event.where in copies:
                continue
            token = token_of(event)
            if event.kind == "AttemptPublished":
                lent[token] = event
                continue
            before, restarts[token] = restarts[token], int(event.body["restarts"])
            handout = lent.pop(token, None)
            if restarts[token] <= before or handout is None:
                continue
            knows = owners[handout.claim] == owners[event.claim]
            if knows and handout.claim != event.claim:
                continue
            ends_ms = records[handout.offset].timestamp_ms
            ends_ms += int(handout.body["lease_ms"]) - WATCHED_EVERY_MS
            if records[event.offset].timestamp_ms < ends_ms:
                yield f"{event.where}: {token} is lost before its lease has ended"


def _due(valid: list[ReadEvent]) -> dict[Token, int]:
    """The offset from which each attempt was due."""
    due: dict[Token, int] = {}
    positions: dict[str, set[str]] = {}
    for event in valid:
        paths = positions.setdefault(event.instance_id, set())
        if event.kind in DUE:
            # A `RetryRecorded` names the attempt that failed.
            token = token_of(event, event.kind == "RetryRecorded")
            due.setdefault(token, event.offset)
            paths.add(event.text("path"))
        elif event.kind == "WorkflowRetried":
            run = int(event.body["run"])
            due.update({(event.instance_id, run, p, 1): event.offset for p in paths})
        elif event.kind in ("TaskCompleted", "RouteChosen"):
            paths.discard(event.text("path"))
    return due


def token_of(event: ReadEvent, later: int = 0) -> Token:
    """The token of an event's attempt, or of one that many attempts later."""
    body = event.body
    return (
        event.instance_id,
        int(body["run"]),
        event.text("path"),
        int(body["attempt"]) + later,
    )


def of_store(log: MemoryLog, partition: int, live: SnapshotStore) -> Iterator[str]:
    """The store of the partition's owner must equal the fold of the topic.

    A displaced owner that has not noticed it yet is not checked.
    """
    store = MemoryStore()
    fold = Fold(store, partition, log.partitions)
    records = records_of(log, Topic.EVENTS, partition)
    fold.apply(Chunk(start=0, end=len(records), records=records))
    if store.position.claim != live.position.claim:
        return
    # It need not have read ignored records after its last batch yet.
    live_position = replace(live.position, offset=store.position.offset)
    if store.position != live_position or store.position.offset < live.position.offset:
        position = store.position
        yield f"the store of {partition} stands at {live.position}, not {position}"
        return
    names = sorted(store.instances())
    if names != sorted(live.instances()):
        yield f"the store of {partition} holds {sorted(live.instances())}, not {names}"
    for name in names:
        folded_rows, live_rows = store.rows(name), live.rows(name)
        for key in sorted({*folded_rows.keys(""), *live_rows.keys("")}):
            if folded_rows.get(key) != live_rows.get(key):
                live_row, folded_row = live_rows.get(key), folded_rows.get(key)
                yield f"{name} {key}: {live_row!r}, but fold {folded_row!r}"
