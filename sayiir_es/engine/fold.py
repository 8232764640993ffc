"""Fold a partition's events into a snapshot store, by the claim rule alone.

Theory of operation. Every reader applies the same rule: a record is valid if and only
if the last `PartitionClaimed` before it is the one that its `claim` header names. What
a displaced owner wrote is skipped by its header, without decoding. A valid record must
have the next offset, a kind that this build knows, and the next sequence of its
instance. Anything else stops the partition with an error that names the offset. A chunk
is always folded to its end: if the rest of a chunk were dropped, nothing would notice
that its events are missing.

A fold that goes on with a store does not believe it: the log may have been truncated
and have grown again beyond the store's position. So it reads from the last event that
the store has folded: that record must make the digest of the position, and nothing that
counts may stand between it and the position. And each claim names the digest of what
its writer had folded (`wire.checkpoint`): where the store has another one, it was
folded from something else. In both cases the store is marked, and set aside when it is
opened again. A fold from the log's beginning depends on no store: then the log
contradicts itself, which is logged, and is for `audit verify` to tell.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.core.evolve.evolve import evolve
from sayiir_es.core.model.errors import (
    DecodeError,
    ForgedEventError,
    HistoryError,
    HoleInHistoryError,
    LogWentBackwardsError,
    StoreError,
    UnknownEventError,
)
from sayiir_es.core.model.events import PartitionClaimed
from sayiir_es.core.model.position import advanced, expect, is_valid, skipped
from sayiir_es.core.model.rows import get_header
from sayiir_es.telemetry import get_logger
from sayiir_es.wire.checkpoint import DIGEST_BYTES, RecentDigests, digest_of
from sayiir_es.wire.events import EventHeaders, decode_event, read_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.position import Position
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import Chunk, Record


logger = get_logger(__name__)

DIGESTS_MAX = 20_000
"""Kept since the last checkpoint that was right, at 40 bytes: a claim names the digest
of the events up to 10,000 records before it. One that reaches further is passed."""

PORTION_RECORDS = 500
"""So many records are folded in about 5 ms."""


class Fold:
    """Folds chunks of one partition's events; every fold of the engine is this one.

    `partitions` is how many the app has. `on_event` is called with the offset and each
    valid event, after its rows are in the store. Give it the chunks from `start` on; it
    makes sure then that the store is of this log, and `is_confirmed` when it has.
    """

    def __init__(
        self,
        store: SnapshotStore,
        partition: int,
        partitions: int,
        *,
        on_event: Callable[[int, Event], None] | None = None,
    ) -> None:
        self._store = store
        self._partition = partition
        self._partitions = partitions
        self._on_event = on_event
        position = store.position
        self.start = max(position.last, 0)
        """Where to begin to read."""
        self._last = position.last
        self._is_whole = position.last < 0
        self._overlap = range(self.start, position.offset)
        """What it was folded from and is still to be read again."""
        self._digests = RecentDigests(position.last, position.digest, most=DIGESTS_MAX)

    @property
    def is_confirmed(self) -> bool:
        """Whether the last event of the store stands where the store has it."""
        return self._overlap.start > self._last or not self._overlap

    def apply(self, chunk: Chunk) -> None:
        """Fold a chunk to its end.

        Raises:
            HoleInHistoryError: if it does not follow what was folded before.
            UnknownEventError: if a valid event is of a kind this build does not know.
            HistoryError: if no owner can have written a valid record.
            StoreError: if the store was not folded from this log; it is marked.
        """
        for _ in self.portions(chunk):
            pass

    def portions(self, chunk: Chunk) -> Iterator[None]:
        """Fold a chunk to its end, and yield behind each portion: others have a turn.

        Whoever stops in between gives this fold up: a new one goes on from there.

        Raises:
            HistoryError, StoreError: as `apply`.
        """
        if self._overlap and chunk.start == self._overlap.start:
            chunk = self._confirm(chunk)
            if chunk.start == chunk.end:
                return
        expect(self._store.position, chunk.start)
        gaps = dict(chunk.gaps)
        for number, record in enumerate(chunk.records, 1):
            self._skip_gaps(gaps, record.offset)
            expect(self._store.position, record.offset)
            self._fold_record(record)
            if number % PORTION_RECORDS == 0:
                yield
        self._skip_gaps(gaps, chunk.end)
        expect(self._store.position, chunk.end)

    def _confirm(self, chunk: Chunk) -> Chunk:
        """Hold the store to what it has folded already; the rest of the chunk."""
        position = self._store.position
        end = min(chunk.end, position.offset)
        again = [record for record in chunk.records if record.offset < end]
        for record in again:
            headers = read_event_headers(record, self._partition)
            kind = headers.kind.encode()
            if record.offset == position.last:
                digest = digest_of(
                    position.last_before, position.last, kind, record.key, record.value
                )
                if digest != position.digest:
                    self._distrust(record.offset, "another record stands there")
            elif is_valid(position, headers.claim, headers.kind):
                self._distrust(record.offset, "it was passed, and counts")
        is_gone = all(record.offset != position.last for record in again)
        if is_gone and chunk.start <= position.last < end:
            self._distrust(position.last, "no record stands there")
        self._overlap = range(end, position.offset)
        return replace(
            chunk,
            start=end,
            records=[record for record in chunk.records if record.offset >= end],
            gaps=tuple((max(a, end), b) for a, b in chunk.gaps if b > end),
        )

    def _distrust(self, offset: int, detail: str) -> None:
        """Mark the store, whose fold was of another log than this one.

        Raises:
            StoreError: always.
        """
        position = self._store.position
        reason = (
            f"expected the store of partition {self._partition}, at offset "
            f"{position.offset}, to be folded from this log, but at offset {offset} "
            f"{detail}: the log was truncated and has grown again, or is another copy"
        )
        self._store.mark_damaged(reason)
        raise StoreError(reason)

    def _compare(self, offset: int, claim: PartitionClaimed) -> None:
        """Hold the digest of the fold to the one that a claim names."""
        end = claim.digest_end
        if len(claim.digest) != DIGEST_BYTES or not 0 <= end <= offset:
            return  # of a build before, or nothing that can be compared
        known = self._digests.at(end)
        if known is None:
            return  # it reaches back beyond what is known here; a later one will not
        if known[0] == claim.digest:
            self._digests.forget(end)
            return
        detail = f"a claim names another digest of what stands before {end}"
        if not self._is_whole:
            self._distrust(offset, detail)
        logger.error(
            "partition.checkpoint_differed",
            partition=self._partition,
            offset=offset,
            reason=f"expected the digest of the events, but {detail}; see `audit "
            "verify`",
        )

    def _skip_gaps(self, gaps: dict[int, int], upto: int) -> None:
        position = self._store.position
        while position.offset < upto and position.offset in gaps:
            position = skipped(position, gaps.pop(position.offset))
        self._store.advance(position)

    def _fold_record(self, record: Record) -> None:
        position = self._store.position
        headers = read_event_headers(record, self._partition)
        if not is_valid(position, headers.claim, headers.kind):
            self._store.advance(skipped(position, record.offset + 1))
            return
        event = decode_record(record, headers, self._partition)
        if isinstance(event.body, PartitionClaimed):
            self._compare(record.offset, event.body)
        digest = digest_of(
            position.digest,
            record.offset,
            headers.kind.encode(),
            record.key,
            record.value,
        )
        next_position = advanced(position, event, digest, self._partitions)
        if event.sequence:
            rows = self._store.rows(event.instance_id)
            header = get_header(rows)
            expected_sequence = (header.sequence if header is not None else 0) + 1
            if event.sequence != expected_sequence:
                raise HoleInHistoryError(
                    f"expected sequence {expected_sequence} of instance "
                    f"{event.instance_id!r} at {self._partition}@{record.offset}, but "
                    f"{event.kind} has sequence {event.sequence}"
                )
            try:
                changes = evolve(rows, event)
            except HistoryError as error:
                raise type(error)(
                    f"{error} at {self._partition}@{record.offset}"
                ) from error
            self._store.apply(event.instance_id, changes)
        self._store.advance(next_position)
        self._digests.add(record.offset, digest)
        if self._on_event is not None:
            self._on_event(record.offset, event)


def check_end(position: Position, partition: int, end: int) -> None:
    """Refuse a log that ends before what a store has folded.

    Raises:
        LogWentBackwardsError: if the store is ahead of the log.
    """
    if position.offset > end:
        raise LogWentBackwardsError(
            f"expected events partition {partition} to reach offset {position.offset}, "
            f"where the store stands, but it ends at {end}"
        )


def read_event_headers(record: Record, partition: int) -> EventHeaders:
    """The headers that the claim rule needs.

    Raises:
        ForgedEventError: if they are missing or unreadable: no owner wrote the record.
    """
    headers = read_headers(record.headers)
    if headers is None:
        raise ForgedEventError(
            f"expected headers `kind` and `claim` at {partition}@{record.offset} of "
            f"the events, but {[name for name, _ in record.headers]!r}"
        )
    return headers


def decode_record(record: Record, headers: EventHeaders, partition: int) -> Event:
    """The event in a valid record.

    Raises:
        UnknownEventError: if this build does not know its kind or schema version.
        ForgedEventError: if its bytes do not agree with its headers.
    """
    where = f"{partition}@{record.offset}"
    try:
        event = decode_event(record.value or b"")
    except UnknownEventError as error:
        raise UnknownEventError(
            f"{error}: kind {headers.kind!r} at {where}; no event is ever skipped, run "
            "a build that knows it"
        ) from error
    except DecodeError as error:
        raise ForgedEventError(f"{error} at {where}") from error
    is_claim = isinstance(event.body, PartitionClaimed)
    if event.kind != headers.kind or (event.claim != headers.claim and not is_claim):
        raise ForgedEventError(
            f"expected {headers.kind!r} under claim {headers.claim} at {where}, as its "
            f"headers say, but {event.kind!r} under claim {event.claim}"
        )
    return event
