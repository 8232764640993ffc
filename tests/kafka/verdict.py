"""Rules that every topic must hold to; each violation is returned as a sentence.

The rules are those of the event contract: sequences without a gap or a repeat, one
decision for each command, in order, no instance completed twice in a run, no result of
a task twice, time that does not run back.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING

from tests.kafka.reader import CLAIM, TERMINAL, command_offsets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.kafka.reader import EventReader, PartitionContent, ReadEvent

_DEFERRED = "CommandDeferred"
_PARTITION_KINDS = frozenset(
    {CLAIM, "CommandForwarded", "CommandDeadLettered", _DEFERRED}
)
_TO_DEFERRED = frozenset({"WorkflowForked", "CommandRejected", "CommandAcknowledged"})


def violations(reader: EventReader) -> list[str]:
    """Read to the end, and return every violation as a sentence."""
    reader.read_to_end()
    commands = command_offsets(reader.bootstrap, reader.app, len(reader.partitions))
    return find_violations(reader.partitions, commands)


def find_violations(
    partitions: Mapping[int, PartitionContent], commands: Mapping[int, set[int]]
) -> list[str]:
    """Every violation in what was read, as a sentence."""
    sentences: list[str] = []
    homes: dict[str, int] = {}
    for partition, content in partitions.items():
        sentences += content.problems
        sentences += _of_time(content)
        sentences += _of_keys(content, homes)
        sentences += _of_sequences(content)
        sentences += _of_runs(content)
        sentences += _of_answers(content, partition, commands[partition])
    sentences += _of_forwards(partitions)
    return sentences


def _of_time(content: PartitionContent) -> Iterator[str]:
    last = 0
    for event in content.valid:
        if event.kind == CLAIM:
            continue
        if event.at < last:
            yield f"{event.where} says {event.at}, but {last} came before"
        last = max(last, event.at)


def _of_keys(content: PartitionContent, homes: dict[str, int]) -> Iterator[str]:
    for event in content.valid:
        key = event.instance_id.encode() or None
        if event.key != key:
            yield f"{event.where} of {event.instance_id!r} has the key {event.key!r}"
        if event.kind in _PARTITION_KINDS:
            if event.instance_id or event.body["sequence"]:
                yield f"{event.where} names {event.instance_id!r}"
        elif event.body["sequence"]:
            home = homes.setdefault(event.instance_id, event.partition)
            if home != event.partition:
                yield f"{event.where}: {event.instance_id!r} also stands on {home}"


def _of_sequences(content: PartitionContent) -> Iterator[str]:
    last: Counter[str] = Counter()
    for event in content.valid:
        sequence = event.body["sequence"]
        if not sequence:
            continue
        if sequence != last[event.instance_id] + 1:
            yield (
                f"{event.where}: {event.instance_id!r} has sequence {sequence} behind "
                f"{last[event.instance_id]}"
            )
        last[event.instance_id] = sequence


def _of_runs(content: PartitionContent) -> Iterator[str]:
    ends: Counter[tuple[str, int]] = Counter()
    results: Counter[tuple[str, int, str]] = Counter()
    for event in content.valid:
        name = (event.instance_id, int(event.body["run"]))
        if event.kind in TERMINAL:
            ends[name] += 1
        elif event.kind == "TaskCompleted":
            results[*name, event.text("path")] += 1
    yield from (f"{name} ended {n} times" for name, n in ends.items() if n > 1)
    yield from (f"{name} completed {n} times" for name, n in results.items() if n > 1)


def decisions(content: PartitionContent) -> Iterator[list[ReadEvent]]:
    """Adjacent valid events with one instance and one cause."""
    groups = groupby(content.valid, key=lambda event: (event.instance_id, event.cause))
    for _, events in groups:
        yield list(events)


def _of_answers(
    content: PartitionContent, partition: int, commands: set[int]
) -> Iterator[str]:
    highest = -1
    answered: set[int] = set()
    deferred: set[int] = set()
    for decision in decisions(content):
        first = decision[0]
        if not first.cause.startswith("command:"):
            continue
        here, _, _ = first.cause.removeprefix("command:").partition("<")
        where, offset = (int(part) for part in here.split("@"))
        if where != partition:
            yield f"{first.where} answers a command of partition {where}"
        if offset in deferred:
            deferred.discard(offset)
            if first.kind not in _TO_DEFERRED:
                yield f"{first.where} answers {here}, which was deferred"
        elif offset <= highest:
            yield f"{first.where} answers {here} behind {highest}: twice, or late"
        elif first.kind == _DEFERRED:
            deferred.add(offset)
        if len(decision) > 1 and not all(e.body["sequence"] for e in decision):
            yield f"{first.where} answers {here} more than once"
        if len({event.claim for event in decision}) > 1:
            yield f"{first.where} begins a decision under two claims"
        highest = max(highest, offset)
        answered.add(offset)
    yield from (
        f"command {partition}@{offset} is passed over without an answer"
        for offset in sorted(commands)
        if offset <= highest and offset not in answered
    )
    yield from (
        f"command {partition}@{offset} is answered, but there is none"
        for offset in sorted(answered - commands)
    )


def _of_forwards(partitions: Mapping[int, PartitionContent]) -> Iterator[str]:
    """A forwarded command counts once, however often it was forwarded."""
    decision_counts: Counter[str] = Counter()
    answered_forwards: set[str] = set()
    for content in partitions.values():
        for decision in decisions(content):
            first = decision[0]
            here, _, origin = first.cause.removeprefix("command:").partition("<")
            if not origin:
                continue
            answered_forwards.add(f"{here}<{origin}")
            if first.kind == _DEFERRED:
                continue
            decision_counts[origin] += not (
                first.kind == "CommandAcknowledged"
                and first.text("code") == "duplicate"
            )
    yield from (
        f"command {o} counted {n} times" for o, n in decision_counts.items() if n > 1
    )
    for event in (event for content in partitions.values() for event in content.valid):
        if event.kind == "CommandForwarded":
            origin = event.cause.removeprefix("command:").rpartition("<")[2]
            there = f"{event.body['to_partition']}@{event.body['to_offset']}"
            if f"{there}<{origin}" not in answered_forwards:
                yield f"{event.where} forwarded to {there}, which has no answer"


def open_commands(reader: EventReader) -> int:
    """How many commands come after the highest one that is answered."""
    commands = command_offsets(reader.bootstrap, reader.app, len(reader.partitions))
    count = 0
    for partition, content in reader.partitions.items():
        causes = [e.cause for e in content.valid if e.cause.startswith("command:")]
        # A deferred command is answered behind others that stand behind it.
        last = max(
            (int(cause.partition("<")[0].split("@")[1]) for cause in causes),
            default=-1,
        )
        count += sum(1 for offset in commands[partition] if offset > last)
    return count
