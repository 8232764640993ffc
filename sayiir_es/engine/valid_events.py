"""The valid events of partitions, for readers that fold nothing.

The claim rule decides what is valid, from the middle of a partition too. A record that
the filter does not take is skipped by its key and headers, without decoding.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.engine.claims import find_claim_in_force
from sayiir_es.engine.fold import decode_record, read_event_headers
from sayiir_es.log.port import InstanceIndex, Topic
from sayiir_es.wire.events import schema_version
from sayiir_es.wire.trace_context import read_traceparent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sayiir_es.core.model.events import Event
    from sayiir_es.log.port import Log, Reader, Record
    from sayiir_es.wire.events import EventHeaders

READ_WAIT_S = 1.0

SEARCH_STOP = 1_000
"""A search by time ends when so few records are left: reading them is faster."""

CLOCK_MARGIN_MS = 120_000
"""How much later a record may land than it says: longer than any append may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundEvent:
    """A valid event, where it stands, and what its record says beside.

    `traceparent` is that of the W3C's trace context; None where it carries none.
    `schema_version` is that of the schema that wrote it, from 1; 0 where it is not
    known.
    """

    partition: int
    offset: int
    event: Event
    traceparent: str | None = None
    schema_version: int = 0


def found_event(partition: int, record: Record, event: Event) -> FoundEvent:
    """The event of a record, with what the record says beside it."""
    return FoundEvent(
        partition=partition,
        offset=record.offset,
        event=event,
        traceparent=read_traceparent(record.headers),
        schema_version=schema_version(record.value or b""),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EventMark:
    """Where a valid event stands, of which kind and instance: what its record says.

    `instance_id` is None where the event is of the whole partition.
    """

    partition: int
    offset: int
    kind: str
    instance_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events a reader returns; empty and 0 mean any."""

    instance_id: str | None = None
    kinds: frozenset[str] = frozenset()
    since_ms: int = 0

    def takes(self, record: Record, kind: str) -> bool:
        """Whether a record passes, by key and kind."""
        if self.kinds and kind not in self.kinds:
            return False
        if self.instance_id is None:
            return True
        return record.key == _key_of(self.instance_id)


def _key_of(instance_id: str | None) -> bytes | None:
    return None if instance_id is None else instance_id.encode("utf-8", "surrogatepass")


class ValidEvents:
    """Reads the valid events of one partition, from an offset on."""

    def __init__(
        self, log: Log, partition: int, start: int, event_filter: EventFilter
    ) -> None:
        self._log = log
        self._partition = partition
        self._start = start
        self._filter = event_filter
        self._key = _key_of(event_filter.instance_id)
        self._claim: int | None = None
        self._reader: Reader | None = None
        self.next_offset = start

    async def read(self, *, max_wait_s: float) -> Sequence[FoundEvent]:
        """The next events; empty when none that passes the filter came in time.

        Raises:
            HistoryError: if a valid record that passes is no event that this build
                knows.
        """
        return await self._select(await self._read_records(max_wait_s))

    async def read_marks(self, *, max_wait_s: float) -> Sequence[EventMark]:
        """As `read`, but no event is decoded; for who looks at what changes.

        The filter's time is not looked at: it stands in the event.
        """
        marks: list[EventMark] = []
        for record in await self._read_records(max_wait_s):
            headers = await self._headers_if_valid(record)
            if headers is None or not self._filter.takes(record, headers.kind):
                continue
            key = record.key
            marks.append(
                EventMark(
                    partition=self._partition,
                    offset=record.offset,
                    kind=headers.kind,
                    instance_id=(
                        None if key is None else key.decode("utf-8", "surrogatepass")
                    ),
                )
            )
        return marks

    async def _read_records(self, max_wait_s: float) -> Sequence[Record]:
        if self._reader is None:
            self._reader = await self._log.reader(
                Topic.EVENTS, self._partition, self._start
            )
        chunk = await self._reader.read(max_wait_s=max_wait_s)
        if chunk is None:
            return ()
        self.next_offset = chunk.end
        return chunk.records

    async def _select(self, records: Sequence[Record]) -> Sequence[FoundEvent]:
        """The valid events that pass the filter, of records that follow one another."""
        events: list[FoundEvent] = []
        for record in records:
            if self._key not in (None, record.key) and record.key is not None:
                continue  # another instance's, and no claim: those have no key
            event = await self._decode_if_valid(record)
            if event is not None and event.at >= self._filter.since_ms:
                events.append(found_event(self._partition, record, event))
        return events

    async def until_end(self) -> AsyncIterator[FoundEvent]:
        """The events up to where the partition ends now, by the log's index if any."""
        end = await self._log.end_offset(Topic.EVENTS, self._partition)
        instance_id = self._filter.instance_id
        if instance_id is not None and self.next_offset == 0 and self._reader is None:
            for event in await self._read_indexed(instance_id, end):
                yield event
        while self.next_offset < end:
            for event in await self.read(max_wait_s=READ_WAIT_S):
                yield event

    async def close(self) -> None:
        """Stop reading."""
        if self._reader is not None:
            await self._reader.close()

    async def _read_indexed(self, instance_id: str, end: int) -> Sequence[FoundEvent]:
        """All up to `end`, where reading goes on; nothing where there is no index."""
        if not isinstance(self._log, InstanceIndex):
            return ()
        records = await self._log.read_instance(self._partition, instance_id)
        events = await self._select(
            [record for record in records if record.offset < end]
        )
        self._start = self.next_offset = end
        return events

    async def _decode_if_valid(self, record: Record) -> Event | None:
        headers = await self._headers_if_valid(record)
        if headers is None or not self._filter.takes(record, headers.kind):
            return None
        return decode_record(record, headers, self._partition)

    async def _headers_if_valid(self, record: Record) -> EventHeaders | None:
        """The headers of a record that stands under the claim in force."""
        headers = read_event_headers(record, self._partition)
        if headers.kind == "PartitionClaimed":
            self._claim = record.offset
        else:
            if self._claim is None:
                self._claim = await find_claim_in_force(
                    self._log, self._partition, self._start, hint=headers.claim
                )
            if headers.claim != self._claim:
                return None
        return headers


async def events_of(log: Log, partition: int, instance_id: str) -> list[FoundEvent]:
    """The valid events of one instance; raises as `ValidEvents.read`."""
    events = ValidEvents(log, partition, 0, EventFilter(instance_id=instance_id))
    try:
        return [event async for event in events.until_end()]
    finally:
        await events.close()


async def merge_by_time(sources: Sequence[ValidEvents]) -> AsyncIterator[FoundEvent]:
    """The events of partitions up to now by time; those of one partition by offset."""
    streams = [source.until_end() for source in sources]
    heap: list[tuple[int, int, int, FoundEvent]] = []

    async def pull(index: int) -> None:
        event = await anext(streams[index], None)
        if event is not None:
            heapq.heappush(heap, (event.event.at, index, event.offset, event))

    for index in range(len(streams)):
        await pull(index)
    while heap:
        _, index, _, event = heapq.heappop(heap)
        yield event
        await pull(index)


async def find_offset_before(log: Log, partition: int, at_ms: int) -> int:
    """An offset that no event with `at` ≥ `at_ms` stands before; often close."""
    low = await log.start_offset(Topic.EVENTS, partition)
    high = await log.end_offset(Topic.EVENTS, partition)
    while high - low > SEARCH_STOP:
        middle = (low + high) // 2
        written_ms = await _read_timestamp_ms(log, partition, middle)
        if written_ms is not None and written_ms < at_ms - CLOCK_MARGIN_MS:
            low = middle
        else:
            high = middle
    return low


async def _read_timestamp_ms(log: Log, partition: int, offset: int) -> int | None:
    reader = await log.reader(Topic.EVENTS, partition, offset)
    try:
        chunk = await reader.read(max_wait_s=READ_WAIT_S)
    finally:
        await reader.close()
    return chunk.records[0].timestamp_ms if chunk and chunk.records else None
