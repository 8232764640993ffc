"""A table made of the snapshots topic, and what has to be true of the two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.status.instance_summary import summary_of
from sayiir_es.log.port import Topic
from sayiir_es.wire.events import read_headers
from sayiir_es.wire.snapshots import KIND, decode_snapshot
from tests.engine.harness import decoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.model.events import Event
    from sayiir_es.core.status.instance_summary import InstanceSummary
    from sayiir_es.engine.definitions.registry import Registry
    from sayiir_es.log.port import Record
    from tests.engine.harness import World


def snapshot_in(record: Record) -> InstanceSummary:
    """What a record says, which its key and its headers say, too."""
    found = decode_snapshot(record.value or b"")
    assert record.key == found.instance_id.encode()
    headers = read_headers(record.headers)
    assert headers is not None
    assert (headers.kind, headers.claim) == (KIND, found.claim)
    return found


def table_of(records: Sequence[Record]) -> dict[str, InstanceSummary]:
    """What a consumer holds behind these records: of each instance the newest."""
    table: dict[str, InstanceSummary] = {}
    for record in records:
        found = snapshot_in(record)
        held = table.get(found.instance_id)
        if held is None or found.sequence > held.sequence:
            table[found.instance_id] = found
    return table


def kept_of(records: Sequence[Record]) -> dict[str, InstanceSummary]:
    """What compaction leaves: of each instance the last."""
    return {one.instance_id: one for one in map(snapshot_in, records)}


def rows_of(table: dict[str, InstanceSummary]) -> dict[str, tuple[object, ...]]:
    """What does not depend on who wrote a record, and when."""
    return {
        name: tuple(
            getattr(one, field)
            for field in type(one).__slots__
            if field not in {"claim", "offset", "complete_before"}
        )
        for name, one in table.items()
    }


async def expected_rows(
    world: World, registry: Registry
) -> dict[str, tuple[object, ...]]:
    """What the table has to say, by the fold of the events alone."""
    store = await world.folded()
    found: dict[str, InstanceSummary] = {}
    for name in store.instances():
        made = summary_of(store.rows(name), name, None, store.position, 0)
        if made is not None:
            graph = registry.by_digest(made.graph_digest)
            again = summary_of(store.rows(name), name, graph, store.position, 0)
            assert again is not None
            found[name] = again
    return rows_of(found)


async def hold_to_its_word(world: World) -> None:
    """Each record is true of its offset, and below `complete_before` nothing lacks."""
    events = _valid([decoded(record) for record in await world.records()])
    published: dict[str, int] = {}
    for record in await world.records(Topic.SNAPSHOTS):
        found = snapshot_in(record)
        own = [
            event.sequence
            for event in events[: found.offset + 1]
            if event is not None and event.instance_id == found.instance_id
        ]
        assert max(own) == found.sequence
        wanted: dict[str, int] = {}
        for event in events[: found.complete_before]:
            if event is not None and event.sequence:
                wanted[event.instance_id] = event.sequence
        for name, sequence in wanted.items():
            assert published.get(name, 0) >= sequence, (record.offset, name)
        before = published.get(found.instance_id, 0)
        published[found.instance_id] = max(before, found.sequence)


def _valid(events: Sequence[Event]) -> list[Event | None]:
    """By offset, the events that count by the claim rule."""
    found: list[Event | None] = []
    claim = -1
    for offset, event in enumerate(events):
        if event.kind == "PartitionClaimed":
            claim = offset
        counts = claim in (event.claim, offset)
        found.append(event if counts else None)
    return found
