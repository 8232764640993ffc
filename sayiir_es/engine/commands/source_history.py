"""What a fork copies: the history of one instance, read from the events themselves.

Theory of operation. A command never carries events, so nobody can forge a history: the
owner that decides on a fork reads the partition of the source, from its first event to
the one asked for, or to where the partition ends now. Whoever asks has seen that event,
so it stands before that end. The claim rule decides what counts; other instances are
passed over by their key, undecoded. Memory holds what is copied, and no more than may
be: the reading stops there. What cannot be read is a reason to refuse the fork, not to
stop this partition: it is the source's whose events are damaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import (
    ForgedEventError,
    HistoryError,
    HoleInHistoryError,
    OffsetGoneError,
)
from sayiir_es.core.model.events import DeadlineSet, PositionUpdated
from sayiir_es.core.model.inputs import SourceHistory
from sayiir_es.core.model.position import NO_CLAIM
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.fold import decode_record, read_event_headers
from sayiir_es.engine.owner.batch import RECORD_OVERHEAD_BYTES
from sayiir_es.log.port import InstanceIndex, Topic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.model.commands import ForkWorkflow
    from sayiir_es.core.model.events import Event
    from sayiir_es.log.port import Log, Record

READ_WAIT_S = 1.0

STAMP_BYTES = 96
"""What another cause, claim, time and sequence add to a copy at most."""


async def read_source(log: Log, fork: ForkWorkflow, bytes_max: int) -> SourceHistory:
    """The history that a fork asks for; beyond `bytes_max` it is not read further.

    Raises:
        LogError: if the log does not answer.
    """
    partition = partition_of(fork.source_instance_id.encode(), log.partitions)
    copy = _Copy(fork, partition, bytes_max)
    try:
        if isinstance(log, InstanceIndex):
            indexed = await log.read_instance(partition, fork.source_instance_id)
            copy.take(indexed)
        else:
            await _read_partition(log, partition, copy)
    except (HistoryError, OffsetGoneError) as error:
        return SourceHistory(unreadable=str(error))
    return SourceHistory(events=tuple(copy.events), size=copy.size)


async def _read_partition(log: Log, partition: int, copy: _Copy) -> None:
    end = await log.end_offset(Topic.EVENTS, partition)
    reader = await log.reader(Topic.EVENTS, partition, 0)
    try:
        offset = 0
        while offset < end and not copy.done:
            chunk = await reader.read(max_wait_s=READ_WAIT_S)
            if chunk is not None:
                copy.take(chunk.records)
                offset = chunk.end
    finally:
        await reader.close()


class _Copy:
    """The events found so far, and what they take when they are recorded again."""

    def __init__(self, fork: ForkWorkflow, partition: int, bytes_max: int) -> None:
        self.events: list[Event] = []
        self.size = 0
        self._key = fork.source_instance_id.encode()
        self._partition = partition
        self._wanted = fork.source_sequence
        self._bytes_max = bytes_max
        self._claim = NO_CLAIM
        new_key = len(fork.instance_id.encode())
        self._added = (
            RECORD_OVERHEAD_BYTES
            + STAMP_BYTES
            + new_key
            + max(0, new_key - len(self._key))
        )

    @property
    def done(self) -> bool:
        """Whether nothing more is to be read."""
        return len(self.events) == self._wanted or self.size > self._bytes_max

    def take(self, records: Sequence[Record]) -> None:
        """Take what counts of records that follow one another.

        Raises:
            HistoryError: if a record of the source, or a claim, is none of an owner's.
        """
        for record in records:
            if record.key in (None, self._key) and not self.done:
                self._take(record)

    def _take(self, record: Record) -> None:
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
        size = self._added + len(record.value or b"")
        # What had begun is taken back: an event for an event, and none is larger.
        twice = isinstance(event.body, PositionUpdated | DeadlineSet)
        self.size += 2 * size if twice else size
