"""Fold a partition's events into a snapshot store, by the claim rule alone.

Theory of operation. Every reader applies the same rule: a record is valid if and only
if the last `PartitionClaimed` before it is the one that its `claim` header names. What
a displaced owner wrote is skipped by its header, without decoding. A valid record must
have the next offset, a kind that this build knows, and the next sequence of its
instance. Anything else stops the partition with an error that names the offset. A chunk
is always folded to its end: if the rest of a chunk were dropped, nothing would notice
that its events are missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.evolve.evolve import evolve
from sayiir_es.core.model.errors import (
    DecodeError,
    ForgedEventError,
    HistoryError,
    HoleInHistoryError,
    UnknownEventError,
)
from sayiir_es.core.model.events import PartitionClaimed
from sayiir_es.core.model.position import advanced, expect, is_valid, skipped
from sayiir_es.core.model.rows import get_header
from sayiir_es.wire.checkpoint import digest_of
from sayiir_es.wire.events import EventHeaders, decode_event, read_headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.model.events import Event
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import Chunk, Record


class Fold:
    """Folds chunks of one partition's events; every fold of the engine is this one.

    `on_event` is called with the offset and each valid event, after its rows are in the
    store.
    """

    def __init__(
        self,
        store: SnapshotStore,
        partition: int,
        *,
        on_event: Callable[[int, Event], None] | None = None,
    ) -> None:
        self._store = store
        self._partition = partition
        self._on_event = on_event

    def apply(self, chunk: Chunk) -> None:
        """Fold a chunk to its end.

        Raises:
            HoleInHistoryError: if it does not follow what was folded before.
            UnknownEventError: if a valid event is of a kind this build does not know.
            HistoryError: if no owner can have written a valid record.
        """
        expect(self._store.position, chunk.start)
        gaps = dict(chunk.gaps)
        for record in chunk.records:
            self._skip_gaps(gaps, record.offset)
            expect(self._store.position, record.offset)
            self._fold_record(record)
        self._skip_gaps(gaps, chunk.end)
        expect(self._store.position, chunk.end)

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
        digest = digest_of(
            position.digest,
            record.offset,
            headers.kind.encode(),
            record.key,
            record.value,
        )
        next_position = advanced(position, event, digest)
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
        if self._on_event is not None:
            self._on_event(record.offset, event)


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
