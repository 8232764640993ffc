"""A tenure: what one claim of one partition may append, and what ends it.

Theory of operation. Kafka has no conditional append, so ownership is decided in the
events partition itself. The owner knows the offset that its next record gets. If an ack
names a higher one, the records in between are read before anything is applied. A
`PartitionClaimed` among them ends the tenure. Records under other claims are late
batches of displaced owners, and the own batch is valid behind them. Anything else was
forged. An ack that never comes ends the tenure too, because the batch may still be
written later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.fast_frozen import maker
from sayiir_es.core.model.errors import (
    FencedError,
    ForgedEventError,
    LogWentBackwardsError,
)
from sayiir_es.engine.fold import decode_record, read_event_headers
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.events import encode_keyed, event_headers
from sayiir_es.wire.trace_context import trace_headers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.model.events import Event
    from sayiir_es.log.port import Appender, Log

READ_WAIT_S = 5.0
"""How long a read of records that are known to be in the log may take, in seconds."""


_new_record = maker(NewRecord)


def to_record(event: Event, traceparent: str | None = None) -> NewRecord:
    """The record of an event: key, Avro bytes, headers for filters and the claim.

    With the trace context of its decision, if there is one.
    """
    key, value = encode_keyed(event)
    headers = event_headers(event.kind, event.claim)
    return _new_record(
        key=key,
        value=value,
        headers=headers
        if traceparent is None
        else headers + trace_headers(traceparent),
    )


@dataclass(slots=True)
class Tenure:
    """Appends under one claim; knows the offset that its next record gets."""

    log: Log
    partition: int
    appender: Appender
    claim: int
    next_offset: int
    records: int = 0
    """How many records it has written since the claim or its renewal."""

    async def append(self, batch: Sequence[NewRecord]) -> int:
        """Append one batch; returns the offset of its first record.

        Raises:
            FencedError: if another claim comes before it: none of its records is valid.
            UncertainAppendError: if it is unknown whether it was written; then the
                tenure is over.
            ForgedEventError: if there is a record before it that no owner wrote.
            LogWentBackwardsError: if the log lost records.
        """
        base = await self.appender.append(batch)
        if base != self.next_offset:
            await self.look(base)
        self.next_offset = base + len(batch)
        self.records += len(batch)
        return base

    async def look(self, upto: int) -> None:
        """Read the records from the expected offset up to `upto`: rule 5 of the claim.

        Raises:
            FencedError, ForgedEventError, LogWentBackwardsError: as `append`.
        """
        if upto < self.next_offset:
            raise LogWentBackwardsError(
                f"expected offset {self.next_offset} of events partition "
                f"{self.partition} to be next, but the log ends at {upto}: it lost "
                "acknowledged records"
            )
        if upto == self.next_offset:
            return
        reader = await self.log.reader(Topic.EVENTS, self.partition, self.next_offset)
        try:
            while self.next_offset < upto:
                chunk = await reader.read(max_wait_s=READ_WAIT_S)
                if chunk is None:
                    raise FencedError(
                        f"expected to read events {self.next_offset} to {upto} of "
                        f"partition {self.partition}, but nothing came"
                    )
                for record in chunk.records:
                    if record.offset >= upto:
                        break
                    headers = read_event_headers(record, self.partition)
                    if headers.kind == "PartitionClaimed":
                        event = decode_record(record, headers, self.partition)
                        raise FencedError(
                            f"expected to own partition {self.partition} under claim "
                            f"{self.claim}, but it was claimed at {record.offset}: "
                            f"{event.body!r}"
                        )
                    if headers.claim == self.claim:
                        raise ForgedEventError(
                            f"expected no record under claim {self.claim} that its "
                            f"owner did not write, but {headers.kind!r} at "
                            f"{self.partition}@{record.offset}"
                        )
                self.next_offset = min(chunk.end, upto)
        finally:
            await reader.close()

    async def look_at_end(self) -> None:
        """Read up to the log's end: rule 7, after a lapse and before any append.

        Raises:
            FencedError, ForgedEventError, LogWentBackwardsError: as `append`.
            LogUnavailableError: if the log does not answer.
        """
        await self.look(await self.log.end_offset(Topic.EVENTS, self.partition))
