"""A table made of the snapshots topic, and checks of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.status.instance_summary import summary_of
from sayiir_es.log.port import Topic
from sayiir_es.wire.events import read_headers
from sayiir_es.wire.snapshots import KIND, decode_snapshot
from tests.engine.harness import event_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.model.events import Event
    from sayiir_es.core.status.instance_summary import InstanceSummary
    from sayiir_es.engine.definitions.registry import Registry
    from sayiir_es.log.port import Record
    from tests.engine.harness import EngineHarness


def snapshot_in(record: Record) -> InstanceSummary:
    """The summary in a record; its key and headers must agree with it."""
    summary = decode_snapshot(record.value or b"")
    assert record.key == summary.instance_id.encode()
    headers = read_headers(record.headers)
    assert headers is not None
    assert (headers.kind, headers.claim) == (KIND, summary.claim)
    return summary


def table_of(records: Sequence[Record]) -> dict[str, InstanceSummary]:
    """What a consumer has after these records: the newest of each instance."""
    table: dict[str, InstanceSummary] = {}
    for record in records:
        summary = snapshot_in(record)
        newest = table.get(summary.instance_id)
        if newest is None or summary.sequence > newest.sequence:
            table[summary.instance_id] = summary
    return table


def compacted_table_of(records: Sequence[Record]) -> dict[str, InstanceSummary]:
    """What compaction leaves: the last of each instance."""
    return {summary.instance_id: summary for summary in map(snapshot_in, records)}


def rows_of(table: dict[str, InstanceSummary]) -> dict[str, tuple[object, ...]]:
    """The fields that do not depend on who wrote a record, and when."""
    return {
        name: tuple(
            getattr(summary, field)
            for field in type(summary).__slots__
            if field not in {"claim", "offset", "complete_before"}
        )
        for name, summary in table.items()
    }


async def expected_rows(
    harness: EngineHarness, registry: Registry
) -> dict[str, tuple[object, ...]]:
    """The rows that the table must have, by the fold of the events alone."""
    store = await harness.folded()
    table: dict[str, InstanceSummary] = {}
    for name in store.instances():
        summary = summary_of(store.rows(name), name, None, store.position, 0)
        if summary is not None:
            graph = registry.by_digest(summary.graph_digest)
            summary = summary_of(store.rows(name), name, graph, store.position, 0)
            assert summary is not None
            table[name] = summary
    return rows_of(table)


async def check_completeness(harness: EngineHarness) -> None:
    """Check each record: true at its offset, and complete below `complete_before`."""
    events = _valid_events([event_of(record) for record in await harness.records()])
    published: dict[str, int] = {}
    for record in await harness.records(Topic.SNAPSHOTS):
        summary = snapshot_in(record)
        sequences = [
            event.sequence
            for event in events[: summary.offset + 1]
            if event is not None and event.instance_id == summary.instance_id
        ]
        assert max(sequences) == summary.sequence
        required: dict[str, int] = {}
        for event in events[: summary.complete_before]:
            if event is not None and event.sequence:
                required[event.instance_id] = event.sequence
        for name, sequence in required.items():
            assert published.get(name, 0) >= sequence, (record.offset, name)
        sequence_before = published.get(summary.instance_id, 0)
        published[summary.instance_id] = max(sequence_before, summary.sequence)


def _valid_events(events: Sequence[Event]) -> list[Event | None]:
    """By offset, the events that are valid by the claim rule; None for the others."""
    valid_events: list[Event | None] = []
    claim = -1
    for offset, event in enumerate(events):
        if event.kind == "PartitionClaimed":
            claim = offset
        counts = claim in (event.claim, offset)
        valid_events.append(event if counts else None)
    return valid_events
