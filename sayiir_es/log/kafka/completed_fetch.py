"""Turns the bytes of one fetch into chunks: each offset has a record or is in a gap.

Control records and the records of an aborted transaction become gaps: their batches say
what they are. Missing offsets that no batch explains are a gap on a compacted topic
only; on any other topic history was lost.
"""

from __future__ import annotations

import struct
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.control_record import ABORT_MARKER, ControlRecord
from aiokafka.record.memory_records import MemoryRecords
from cramjam import DecompressionError

from sayiir_es.core.model.errors import LogUnavailableError, OffsetGoneError
from sayiir_es.log.kafka import expansion, lenient_decoder
from sayiir_es.log.port import Chunk, Record

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# A chunk is folded without a turn of the event loop: 500 events take 7 ms. With 2,000,
# a worker that took over four partitions missed heartbeats while it folded them.
CHUNK_RECORDS_MAX = 500

# What aiokafka's decoders, in Python and in C, raise for bytes that no broker accepts:
# the bytes of a damaged answer whose checksum happens to be right.
_DAMAGE = (
    *(CorruptRecordException, SystemError, AssertionError, IndexError, ValueError),
    *(OverflowError, struct.error, zlib.error, EOFError, OSError),
)

# A frozen value is made by setting its slots: its own `__init__` takes twice as long,
# and to make the records is most of what reading costs.
_slots: Any = Record
_new = object.__new__
_set_offset = _slots.offset.__set__
_set_key = _slots.key.__set__
_set_value = _slots.value.__set__
_set_headers = _slots.headers.__set__
_set_timestamp_ms = _slots.timestamp_ms.__set__


def _record(offset: int, source: Any) -> Record:
    record = _new(Record)
    _set_offset(record, offset)
    _set_key(record, source.key)
    _set_value(record, source.value)
    headers = source.headers
    # Another client may write a header without a value; here it is empty.
    _set_headers(record, tuple([(k, v or b"") for k, v in headers]) if headers else ())
    _set_timestamp_ms(record, source.timestamp)
    return record


class CompletedFetch:
    """The bytes of one answer, returned as chunks that follow one another."""

    def __init__(
        self, start: int, data: bytes | None, aborted: Any, *, compacted: bool
    ) -> None:
        self._next = start
        self._data = data or b""
        with self._damage_as_unavailable():
            self._batches = MemoryRecords(self._data)
        self._records: Iterator[Any] = iter(())
        self._batch_end = start
        self._compacted = compacted
        # Transactions that were aborted: (producer id, first offset), first ones first.
        self._aborted = sorted(aborted or (), key=lambda pair: int(pair[1]))
        self._aborting: set[int] = set()

    @property
    def empty(self) -> bool:
        """Whether all chunks have been taken."""
        return self._next >= self._batch_end and not self._batches.has_next()

    def take(self) -> Chunk:
        """Return the next chunk of at most `CHUNK_RECORDS_MAX` records.

        Raises:
            OffsetGoneError: records are missing, and no batch says why.
            LogUnavailableError: the bytes are damaged, or compressed in a way that this
                process cannot unpack.
        """
        with self._damage_as_unavailable():
            return self._take()

    @contextmanager
    def _damage_as_unavailable(self) -> Generator[None]:
        try:
            yield
        except _DAMAGE as error:
            raise LogUnavailableError(
                f"expected whole records behind {self._next}, but {error!r}"
            ) from error

    def _take(self) -> Chunk:
        start = at = self._next
        records: list[Record] = []
        gaps: list[tuple[int, int]] = []
        full = False
        while not full:
            for source in self._records:
                offset = source.offset
                if offset != at:
                    if offset < at:  # the batch begins before the requested offset
                        continue
                    self._check_gap(at, offset)
                    gaps.append((at, offset))
                records.append(_record(offset, source))
                at = offset + 1
                if len(records) >= CHUNK_RECORDS_MAX:
                    full = True
                    break
            else:
                if at < self._batch_end:
                    self._check_gap(at, self._batch_end)
                    gaps.append((at, self._batch_end))
                    at = self._batch_end
                if not self._batches.has_next():
                    break
                at = self._open_batch(at, gaps)
        self._next = at
        return Chunk(start=start, end=at, records=records, gaps=_merge_gaps(gaps))

    def _open_batch(self, at: int, gaps: list[tuple[int, int]]) -> int:
        """Begin the next batch; return `at`, or its end when no reader is to see it."""
        batch: Any = self._batches.next_batch()
        if not batch.validate_crc():
            raise LogUnavailableError(
                f"expected a whole batch at {at}, but its checksum is off"
            )
        if batch.base_offset > at:
            self._check_gap(at, batch.base_offset)
            gaps.append((at, batch.base_offset))
            at = batch.base_offset
        self._batch_end = max(at, batch.next_offset)
        if not self._is_hidden(batch):
            self._records = self._records_of(batch)
            return at
        self._records = iter(())
        if self._batch_end > at:
            gaps.append((at, self._batch_end))
        return self._batch_end

    def _records_of(self, batch: Any) -> Iterator[Any]:
        """Iterate a batch once, over as many chunks as it takes."""
        if batch.compression_type and expansion.is_too_large(
            self._data, batch.base_offset
        ):
            yield from expansion.placeholders(batch)
            return
        try:
            yield from batch
        except UnicodeDecodeError:
            # From its start again: the caller skips the offsets that it has already.
            yield from lenient_decoder.records(self._data, batch.base_offset)
        except (UnsupportedCodecError, DecompressionError) as error:
            raise LogUnavailableError(
                f"expected to unpack the batch at {batch.base_offset}, but {error}: "
                "set compression.type=uncompressed on the topic, so that the broker "
                "refuses what it cannot unpack"
            ) from error

    def _is_hidden(self, batch: Any) -> bool:
        while self._aborted and self._aborted[0][1] <= batch.base_offset:
            self._aborting.add(self._aborted.pop(0)[0])
        if batch.is_control_batch:
            marker = next(iter(batch), None)  # None where it was compacted away
            if marker and ControlRecord.parse(marker.key) == ABORT_MARKER:
                self._aborting.discard(batch.producer_id)
            return True
        return batch.is_transactional and batch.producer_id in self._aborting

    def _check_gap(self, first: int, past: int) -> None:
        if not self._compacted:
            raise OffsetGoneError(
                f"expected record {first}, but the log goes on at {past} "
                "and says nothing of what stood between"
            )


def _merge_gaps(gaps: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for first, past in gaps:
        if merged and merged[-1][1] == first:
            merged[-1] = (merged[-1][0], past)
        else:
            merged.append((first, past))
    return tuple(merged)
