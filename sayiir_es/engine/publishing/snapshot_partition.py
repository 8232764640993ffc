"""One partition of the snapshots topic, as its owner writes and reads it.

Theory of operation. Only owners write here, one at a time, so the owner knows the
offset that its next record gets. A higher offset means that a record of a displaced
owner, or of an append that this owner gave up, was written in between: compaction might
keep the older of two snapshots. The instances of such records are returned, to be
published again.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import (
    BatchTooLargeError,
    DecodeError,
    LogWentBackwardsError,
)
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.telemetry import get_logger
from sayiir_es.wire.snapshots import decode_snapshot, encode_snapshot, snapshot_headers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.status.instance_summary import InstanceSummary
    from sayiir_es.log.port import Log, Record

logger = get_logger(__name__)

TAIL_RECORDS = 2_000
"""How many records a new owner reads at the end of the partition. Late records that no
owner has replaced are among them: two owners had at most one group each in flight."""

READ_WAIT_S = 5.0
"""How long one read waits, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRecord:
    """A snapshot and its record."""

    snapshot: InstanceSummary
    record: NewRecord


def record_of(snapshot: InstanceSummary) -> SnapshotRecord:
    """Encode a snapshot: its key, Avro bytes, and headers like those of events."""
    record = NewRecord(
        key=snapshot.instance_id.encode(),
        value=encode_snapshot(snapshot),
        headers=snapshot_headers(snapshot.claim),
    )
    return SnapshotRecord(snapshot=snapshot, record=record)


class SnapshotPartition:
    """Writes one partition; knows the offset that it expects next."""

    def __init__(self, log: Log, partition: int) -> None:
        self._log = log
        self._partition = partition
        self._next = 0

    async def read_tail(self) -> tuple[int, dict[str, int]]:
        """Read the end of the partition, and expect the next offset from now on.

        Returns the offset of the events below which earlier owners published
        everything, and the sequence by instance of the last records: late records that
        nobody has replaced are among them.

        Raises:
            LogError: if the log does not answer.
        """
        start = await self._log.start_offset(Topic.SNAPSHOTS, self._partition)
        end = await self._log.end_offset(Topic.SNAPSHOTS, self._partition)
        complete_before, sequences = 0, dict[str, int]()
        for record in await self._read(max(start, end - TAIL_RECORDS), end):
            try:
                snapshot = decode_snapshot(record.value or b"")
            except DecodeError:
                continue  # of another program, or of a newer build
            complete_before = snapshot.complete_before
            sequences[snapshot.instance_id] = snapshot.sequence
        self._next = end
        return complete_before, sequences

    async def produce(self, snapshot_records: Sequence[SnapshotRecord]) -> list[str]:
        """Write records; returns the instances of others' records among them.

        A record that is too large is written without its output, or left out.

        Raises:
            LogUnavailableError: if some were not acknowledged.
            LogWentBackwardsError: if the topic is another, or lost records.
        """
        offsets = await asyncio.gather(
            *(
                self._produce_one(snapshot_record)
                for snapshot_record in snapshot_records
            ),
            return_exceptions=True,
        )
        own_offsets: set[int] = set()
        for offset in offsets:
            if isinstance(offset, BaseException):
                raise offset
            if offset is not None:
                own_offsets.add(offset)
        if not own_offsets:
            return []
        return await self._look(min(own_offsets), max(own_offsets) + 1, own_offsets)

    async def look(self) -> list[str]:
        """The instances of records that came after the last one of our own.

        Raises:
            LogWentBackwardsError: if the topic is another, or lost records.
        """
        end = await self._log.end_offset(Topic.SNAPSHOTS, self._partition)
        return await self._look(end, end, set())

    async def _look(self, lowest: int, end: int, own_offsets: set[int]) -> list[str]:
        if lowest < self._next:
            expected_offset, self._next = self._next, end
            raise LogWentBackwardsError(
                f"expected offset {expected_offset} of snapshots partition "
                f"{self._partition} to be next, but {lowest}: the topic is another, or "
                "lost records; all is published again"
            )
        foreign: list[str] = []
        if end - self._next > len(own_offsets):
            foreign += (
                record.key.decode("utf-8", "replace")
                for record in await self._read(self._next, end)
                if record.key is not None and record.offset not in own_offsets
            )
        self._next = end
        return foreign

    async def _produce_one(self, snapshot_record: SnapshotRecord) -> int | None:
        try:
            return await self._log.produce(
                Topic.SNAPSHOTS, self._partition, snapshot_record.record
            )
        except BatchTooLargeError as error:
            logger.warning(
                "snapshots.record_refused",
                instance_id=snapshot_record.snapshot.instance_id,
                partition=self._partition,
                reason=str(error),
            )
        smaller = record_of(replace(snapshot_record.snapshot, output=None)).record
        with contextlib.suppress(BatchTooLargeError):
            return await self._log.produce(Topic.SNAPSHOTS, self._partition, smaller)
        return None

    async def _read(self, start: int, end: int) -> list[Record]:
        records: list[Record] = []
        reader = await self._log.reader(Topic.SNAPSHOTS, self._partition, start)
        try:
            while start < end:
                chunk = await reader.read(max_wait_s=READ_WAIT_S)
                if chunk is None:  # compaction removed what was there
                    break
                records += (record for record in chunk.records if record.offset < end)
                start = chunk.end
        finally:
            await reader.close()
        return records
