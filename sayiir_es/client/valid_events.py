"""The valid events of partitions, for readers that fold nothing.

The claim rule decides what is valid, from the middle of a partition too. What is not
wanted is passed over by its key and headers, without decoding.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.client.replies import claim_in_force
from sayiir_es.engine.fold import decode_record, read_event_headers
from sayiir_es.log.port import InstanceIndex, Topic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sayiir_es.core.model.events import Event
    from sayiir_es.log.port import Log, Reader, Record

READ_WAIT_S = 1.0

SEARCH_STOP = 1_000
"""A search by time ends when so few records are left: reading them is quicker."""

CLOCK_MARGIN_MS = 120_000
"""How much later a record may land than it says: longer than any append may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundEvent:
    """A valid event and where it stands."""

    partition: int
    offset: int
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events a reader asks for; empty and 0 mean any."""

    instance_id: str | None = None
    kinds: frozenset[str] = frozenset()
    since_ms: int = 0

    def takes(self, record: Record, kind: str) -> bool:
        """Whether a record may hold what is wanted, by key and kind."""
        if self.kinds and kind not in self.kinds:
            return False
        if self.instance_id is None:
            return True
        return record.key == _key_of(self.instance_id)


def _key_of(instance_id: str | None) -> bytes | None:
    return None if instance_id is None else instance_id.encode("utf-8", "surrogatepass")


class ValidEvents:
    """Reads the valid events of one partition, from an offset on."""

    def __init__(self, log: Log, partition: int, start: int, wanted: Wanted) -> None:
        self._log = log
        self._partition = partition
        self._start = start
        self._wanted = wanted
        self._key = _key_of(wanted.instance_id)
        self._claim: int | None = None
        self._reader: Reader | None = None
        self.next_offset = start

    async def read(self, *, max_wait_s: float) -> Sequence[FoundEvent]:
        """What follows; empty when nothing wanted came in time.

        Raises:
            HistoryError: if a wanted valid record is no event that this build knows.
        """
        if self._reader is None:
            self._reader = await self._log.reader(
                Topic.EVENTS, self._partition, self._start
            )
        chunk = await self._reader.read(max_wait_s=max_wait_s)
        if chunk is None:
            return ()
        self.next_offset = chunk.end
        return await self._among(chunk.records)

    async def _among(self, records: Sequence[Record]) -> Sequence[FoundEvent]:
        """Those wanted of records that follow one another."""
        found: list[FoundEvent] = []
        for record in records:
            if self._key not in (None, record.key) and record.key is not None:
                continue  # another instance's, and no claim: those have no key
            event = await self._valid(record)
            if event is not None and event.at >= self._wanted.since_ms:
                found.append(
                    FoundEvent(
                        partition=self._partition, offset=record.offset, event=event
                    )
                )
        return found

    async def until_end(self) -> AsyncIterator[FoundEvent]:
        """Everything up to where the partition ends now, by the log's index if any."""
        end = await self._log.end_offset(Topic.EVENTS, self._partition)
        wanted = self._wanted.instance_id
        if wanted is not None and self.next_offset == 0 and self._reader is None:
            for found in await self._indexed(wanted, end):
                yield found
        while self.next_offset < end:
            for found in await self.read(max_wait_s=READ_WAIT_S):
                yield found

    async def close(self) -> None:
        """Stop reading."""
        if self._reader is not None:
            await self._reader.close()

    async def _indexed(self, instance_id: str, end: int) -> Sequence[FoundEvent]:
        """All up to `end`, and go on from there; nothing where there is no index."""
        if not isinstance(self._log, InstanceIndex):
            return ()
        records = await self._log.read_instance(self._partition, instance_id)
        found = await self._among([one for one in records if one.offset < end])
        self._start = self.next_offset = end
        return found

    async def _valid(self, record: Record) -> Event | None:
        headers = read_event_headers(record, self._partition)
        if headers.kind == "PartitionClaimed":
            self._claim = record.offset
        else:
            if self._claim is None:
                self._claim = await claim_in_force(
                    self._log, self._partition, self._start, hint=headers.claim
                )
            if headers.claim != self._claim:
                return None
        if not self._wanted.takes(record, headers.kind):
            return None
        return decode_record(record, headers, self._partition)


async def events_of(log: Log, partition: int, instance_id: str) -> list[FoundEvent]:
    """The valid events of one instance; raises as `ValidEvents.read`."""
    events = ValidEvents(log, partition, 0, Wanted(instance_id=instance_id))
    try:
        return [found async for found in events.until_end()]
    finally:
        await events.close()


async def merged_by_time(sources: Sequence[ValidEvents]) -> AsyncIterator[FoundEvent]:
    """What partitions hold now, in order of time; within a partition in its order."""
    streams = [source.until_end() for source in sources]
    heap: list[tuple[int, int, int, FoundEvent]] = []

    async def pull(index: int) -> None:
        found = await anext(streams[index], None)
        if found is not None:
            heapq.heappush(heap, (found.event.at, index, found.offset, found))

    for index in range(len(streams)):
        await pull(index)
    while heap:
        _, index, _, found = heapq.heappop(heap)
        yield found
        await pull(index)


async def offset_before(log: Log, partition: int, at_ms: int) -> int:
    """An offset behind which every event with `at` ≥ `at_ms` stands; often close."""
    low = await log.start_offset(Topic.EVENTS, partition)
    high = await log.end_offset(Topic.EVENTS, partition)
    while high - low > SEARCH_STOP:
        middle = (low + high) // 2
        written_ms = await _written_ms(log, partition, middle)
        if written_ms is not None and written_ms < at_ms - CLOCK_MARGIN_MS:
            low = middle
        else:
            high = middle
    return low


async def _written_ms(log: Log, partition: int, offset: int) -> int | None:
    reader = await log.reader(Topic.EVENTS, partition, offset)
    try:
        chunk = await reader.read(max_wait_s=READ_WAIT_S)
    finally:
        await reader.close()
    return chunk.records[0].timestamp_ms if chunk and chunk.records else None
