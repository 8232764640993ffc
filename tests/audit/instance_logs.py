"""Histories as the records of a log, so that a test can change them and verify them.

An `InstanceRunner` makes events without a log. Here they become the records of
partition 0 of an app with one partition: each owner begins with its claim, and each
command that was answered is on the commands topic.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.audit import verify_records
from sayiir_es.core.graph.record import record_of_graph
from sayiir_es.core.model.events import Event, PartitionClaimed
from sayiir_es.core.model.position import parse_command_cause
from sayiir_es.log.port import Record, Topic
from sayiir_es.wire.events import encode_keyed, event_headers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sayiir_es.audit import Violation
    from sayiir_es.core.graph.graph import Graph
    from tests.core.instance_runner import InstanceRunner


def events_of(runner: InstanceRunner) -> list[Event]:
    """The events of a runner as the topic would hold them, claims included."""
    events: list[Event] = []
    claim: int | None = None
    offset = 0
    for event in runner.events:
        if event.claim != claim:
            claim, offset = event.claim, len(events)
            events.append(claimed(event.at))
        cause = event.cause
        if cause.startswith("takeover:"):
            cause = f"takeover:{offset}"
        events.append(replace(event, claim=offset, cause=cause))
    return events


def claimed(at: int, next_command: int = 0) -> Event:
    """A claim."""
    return Event(
        claim=-1,
        instance_id="",
        run=0,
        sequence=0,
        at=at,
        cause="",
        body=PartitionClaimed(owner="w", build="test", next_command=next_command),
    )


def record(offset: int, event: Event) -> Record:
    """An event as its record."""
    key, value = encode_keyed(event)
    return Record(
        offset=offset,
        key=key,
        value=value,
        headers=event_headers(event.kind, event.claim),
        timestamp_ms=event.at,
    )


def records_of(events: Sequence[Event]) -> list[Record]:
    """Events as the records of a partition, from offset 0."""
    return [record(offset, event) for offset, event in enumerate(events)]


def renumbered(events: Sequence[Event]) -> list[Event]:
    """The same events with sequences that follow one another."""
    sequences: dict[str, int] = {}
    kept: list[Event] = []
    for event in events:
        if not event.sequence:
            kept.append(event)
            continue
        sequence = sequences.get(event.instance_id, 0) + 1
        sequences[event.instance_id] = sequence
        kept.append(replace(event, sequence=sequence))
    return kept


def commands_of(events: Sequence[Event]) -> list[int]:
    """The offsets of the commands that a history answers."""
    places = (parse_command_cause(event.cause) for event in events)
    return sorted({place.offset for place in places if place is not None})


def verified(
    records: Sequence[Record],
    graph: Graph,
    commands: Sequence[int],
    others: Sequence[Graph] = (),
) -> list[Violation]:
    """Everything that is wrong with a log of one partition; it has all graphs."""
    stream = _stream(records, (graph, *others), commands)
    return list(verify_records(stream, partitions=1))


def _stream(
    records: Sequence[Record], graphs: Sequence[Graph], commands: Sequence[int]
) -> Iterator[tuple[Topic, int, Record]]:
    for offset, graph in enumerate(graphs):
        yield Topic.DEFINITIONS, 0, _plain(offset, record_of_graph(graph))
    for offset in commands:
        yield Topic.COMMANDS, 0, _plain(offset, b"{}")
    for record_of_event in records:
        yield Topic.EVENTS, 0, record_of_event


def _plain(offset: int, value: bytes) -> Record:
    return Record(offset=offset, key=None, value=value, headers=(), timestamp_ms=0)
