"""One partition of the snapshots topic, as its owner writes and reads it.

Theory of operation. Nobody but owners writes here, one at a time, so the owner knows
the offset that its next record gets. A later one means that a displaced owner, or an
append of its own that it gave up, landed in between: compaction would keep the older of
two states. Whatever such records name is returned, to be published again.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from sayiir_es.core.model.errors import (
    BatchTooLargeError,
    DecodeError,
    LogWentBackwardsError,
)
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.snapshots import decode_snapshot, encode_snapshot, snapshot_headers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sayiir_es.core.status.instance_summary import InstanceSummary
    from sayiir_es.log.port import Log, Record

logger = structlog.get_logger()

TAIL_RECORDS = 2_000
"""Where a new owner looks for late records that nobody healed: those stand beside what
two owners had under way, a group each."""

READ_WAIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRecord:
    """A snapshot and its record."""

    snapshot: InstanceSummary
    record: NewRecord


def record_of(snapshot: InstanceSummary) -> SnapshotRecord:
    """A snapshot with its record: key, Avro bytes, headers as those of events."""
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

    async def take_up(self) -> tuple[int, dict[str, int]]:
        """Up to which offset of the events those before published all.

        And the sequences, by instance, of the last records: late ones are among them,
        if they were not healed.
        """
        start = await self._log.start_offset(Topic.SNAPSHOTS, self._partition)
        end = await self._log.end_offset(Topic.SNAPSHOTS, self._partition)
        complete_before, last = 0, dict[str, int]()
        for record in await self._read(max(start, end - TAIL_RECORDS), end):
            try:
                snapshot = decode_snapshot(record.value or b"")
            except DecodeError:
                continue  # a stranger's, or of a newer build
            complete_before = snapshot.complete_before
            last[snapshot.instance_id] = snapshot.sequence
        self._next = end
        return complete_before, last

    async def produce(self, made: Sequence[SnapshotRecord]) -> list[str]:
        """Write records; returns the instances that others' records among them name.

        Raises:
            LogUnavailableError: some were not acknowledged.
            LogWentBackwardsError: the topic is another, or lost records.
        """
        answers = await asyncio.gather(
            *(self._produce_one(one) for one in made), return_exceptions=True
        )
        own: set[int] = set()
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            if answer is not None:
                own.add(answer)
        return await self._look(min(own), max(own) + 1, own) if own else []

    async def look(self) -> list[str]:
        """The instances that records name which came since the last of our own.

        Raises:
            LogWentBackwardsError: the topic is another, or lost records.
        """
        end = await self._log.end_offset(Topic.SNAPSHOTS, self._partition)
        return await self._look(end, end, ())

    async def _look(self, lowest: int, end: int, own: Iterable[int]) -> list[str]:
        if lowest < self._next:
            seen, self._next = self._next, end
            raise LogWentBackwardsError(
                f"expected offset {seen} of snapshots partition {self._partition} to "
                f"be next, but {lowest}: the topic is another, or lost records; all "
                "is published again"
            )
        mine = set(own)
        strange: list[str] = []
        if end - self._next > len(mine):
            strange += (
                one.key.decode("utf-8", "replace")
                for one in await self._read(self._next, end)
                if one.key is not None and one.offset not in mine
            )
        self._next = end
        return strange

    async def _produce_one(self, made: SnapshotRecord) -> int | None:
        try:
            return await self._log.produce(
                Topic.SNAPSHOTS, self._partition, made.record
            )
        except BatchTooLargeError as error:
            logger.warning(
                "snapshots.record_refused",
                instance_id=made.snapshot.instance_id,
                partition=self._partition,
                reason=str(error),
            )
        smaller = record_of(replace(made.snapshot, output=None)).record
        with contextlib.suppress(BatchTooLargeError):
            return await self._log.produce(Topic.SNAPSHOTS, self._partition, smaller)
        return None

    async def _read(self, start: int, end: int) -> list[Record]:
        found: list[Record] = []
        reader = await self._log.reader(Topic.SNAPSHOTS, self._partition, start)
        try:
            while start < end:
                chunk = await reader.read(max_wait_s=READ_WAIT_S)
                if chunk is None:  # all that was there is superseded
                    break
                found += (one for one in chunk.records if one.offset < end)
                start = chunk.end
        finally:
            await reader.close()
        return found
