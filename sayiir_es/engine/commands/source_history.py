"""What a fork copies: the history of one instance, read from the events topic.

Theory of operation. A command never carries events, so nobody can forge a history: the
owner that decides on a fork reads the partition of the source, from its first event to
the one that the fork names, or to the partition's present end. Whoever wrote the
command has seen that event, so it is before that end. The claim rule decides which
records are valid; records of other instances are skipped by their key, undecoded.
Reading stops when the copy has its largest allowed size, so memory is bounded. Events
that cannot be read are a reason to reject the fork, not to stop this partition: the
damage is in the source's partition. A log that does not answer is asked again, from
where the reading was.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import (
    ForgedEventError,
    HistoryError,
    HoleInHistoryError,
    LogError,
    LogUnavailableError,
)
from sayiir_es.core.model.events import DeadlineSet, PositionUpdated
from sayiir_es.core.model.inputs import SourceHistory
from sayiir_es.core.model.position import NO_CLAIM
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.backoff import Backoff
from sayiir_es.engine.fold import decode_record, read_event_headers
from sayiir_es.log.port import InstanceIndex, Topic
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.model.commands import ForkWorkflow
    from sayiir_es.core.model.events import Event
    from sayiir_es.log.port import Log, Record

logger = get_logger(__name__)

READ_WAIT_S = 1.0
"""How long one read waits, in seconds, before it is repeated."""

RECORD_OVERHEAD_BYTES = 96
"""What a record takes beside key and value at most: headers, lengths, deltas."""

STAMP_BYTES = 96
"""What another cause, claim, time and sequence add to an event at most."""


async def read_source(log: Log, fork: ForkWorkflow, bytes_max: int) -> SourceHistory:
    """Read the history that a fork names, up to about `bytes_max` bytes.

    A history that cannot be read is returned as such: its `unreadable` says why. While
    the log does not answer, this does not return: its caller bounds it in time.
    """
    partition = partition_of(fork.source_instance_id.encode(), log.partitions)
    copy = _Copy(fork, partition, bytes_max)
    backoff = Backoff(f"source {fork.source_instance_id}")
    while True:
        begun = copy.next_offset
        try:
            if isinstance(log, InstanceIndex):
                records = await log.read_instance(partition, fork.source_instance_id)
                copy.add_records(records)
            else:
                await _read_partition(log, partition, copy)
        except LogUnavailableError as error:
            logger.warning(
                "commands.source_read_failed",
                partition=partition,
                offset=copy.next_offset,
                error_code=error.code,
                reason=str(error),
            )
            if copy.next_offset > begun:
                backoff.reset()
            await backoff.pause()
        except (HistoryError, LogError) as error:
            return SourceHistory(unreadable=str(error))
        else:
            return SourceHistory(events=tuple(copy.events), size=copy.size)


async def _read_partition(log: Log, partition: int, copy: _Copy) -> None:
    """Read on from where the copy is, up to the partition's present end."""
    end = await log.end_offset(Topic.EVENTS, partition)
    if copy.next_offset >= end:
        return
    reader = await log.reader(Topic.EVENTS, partition, copy.next_offset)
    try:
        while copy.next_offset < end and not copy.is_complete:
            chunk = await reader.read(max_wait_s=READ_WAIT_S)
            if chunk is not None:
                copy.add_records(chunk.records)
                copy.next_offset = chunk.end
                # Chunks that were read ahead come without a wait: the owner decides,
                # and others have a turn, in between.
                await asyncio.sleep(0)
    finally:
        await reader.close()


class _Copy:
    """The events read so far, and their size in bytes when they are written again."""

    def __init__(self, fork: ForkWorkflow, partition: int, bytes_max: int) -> None:
        self.events: list[Event] = []
        self.size = 0
        self.next_offset = 0
        """The next offset of the partition to read."""
        self._key = fork.source_instance_id.encode()
        self._partition = partition
        self._sequence_max = fork.source_sequence
        self._bytes_max = bytes_max
        self._claim = NO_CLAIM
        new_key = len(fork.instance_id.encode())
        self._added_bytes = (
            RECORD_OVERHEAD_BYTES
            + STAMP_BYTES
            + new_key
            + max(0, new_key - len(self._key))
        )

    @property
    def is_complete(self) -> bool:
        """Whether no more records need to be read."""
        return len(self.events) == self._sequence_max or self.size > self._bytes_max

    def add_records(self, records: Sequence[Record]) -> None:
        """Add the valid events of the source among records that follow one another.

        Raises:
            HistoryError: if a record of the source, or a claim, is not of an owner.
        """
        for record in records:
            if record.key in (None, self._key) and not self.is_complete:
                self._add_record(record)

    def _add_record(self, record: Record) -> None:
        headers = read_event_headers(record, self._partition)
        if record.key is None:
            if headers.kind == "PartitionClaimed":
                self._claim = record.offset
            return
        if headers.claim != self._claim:
            return
        event = decode_record(record, headers, self._partition)
        if event.sequence == 0:
            return
        where = f"{self._partition}@{record.offset}"
        if event.instance_id.encode() != self._key:
            raise ForgedEventError(
                f"expected an event of the record's key at {where}, but of "
                f"{event.instance_id!r}"
            )
        if event.sequence != len(self.events) + 1:
            raise HoleInHistoryError(
                f"expected sequence {len(self.events) + 1} at {where}, but "
                f"{event.sequence}"
            )
        self.events.append(event)
        size = self._added_bytes + len(record.value or b"")
        # A started attempt or deadline is withdrawn in the copy: one more event for
        # each, and never a larger one.
        has_counter_event = isinstance(event.body, PositionUpdated | DeadlineSet)
        self.size += 2 * size if has_counter_event else size
