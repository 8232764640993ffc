"""A tenure: what one claim of one partition may append, and what ends it.

Theory of operation. Kafka has no conditional append, so ownership is settled in the
events partition itself. The owner knows the next offset it expects. When an ack names a
later one, what stands in between is read before anything is applied: a
`PartitionClaimed` there ends the tenure; records under other claims are late batches of
displaced owners, and the batch is valid behind them; anything else was forged. An ack
that never comes ends the tenure too, because the batch may still land.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import (
    FencedError,
    ForgedEventError,
    LogWentBackwardsError,
)
from sayiir_es.engine.fold import decode_record, read_event_headers
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.events import encode_event, event_headers, record_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.model.events import Event
    from sayiir_es.log.port import Appender, Log

READ_WAIT_S = 5.0
"""How long a read of records that are known to stand in the log may take."""


def to_record(event: Event) -> NewRecord:
    """The record of an event: key, Avro bytes, headers for filters and the claim."""
    return NewRecord(
        key=record_key(event),
        value=encode_event(event),
        headers=event_headers(event.kind, event.claim),
    )


@dataclass(slots=True)
class Tenure:
    """Appends under one claim; knows the offset it expects next."""

    log: Log
    partition: int
    appender: Appender
    claim: int
    expected: int
    records: int = 0
    """How many it has written since its claim, or the renewal of it."""

    async def append(self, batch: Sequence[NewRecord]) -> int:
        """Append one batch; returns the offset of its first record.

        Raises:
            FencedError: if another claim stands before it; nothing of it counts.
            UncertainAppendError: if nobody knows; the tenure is over.
            ForgedEventError: if something stands there that no owner wrote.
            LogWentBackwardsError: if the log lost records.
        """
        base = await self.appender.append(batch)
        await self.look(base)
        self.expected = base + len(batch)
        self.records += len(batch)
        return base

    async def look(self, upto: int) -> None:
        """Read what stands between the expected offset and `upto`; rule 5.

        Raises:
            FencedError, ForgedEventError, LogWentBackwardsError: as `append`.
        """
        if upto < self.expected:
            raise LogWentBackwardsError(
                f"expected offset {self.expected} of events partition "
                f"{self.partition} to be next, but the log ends at {upto}: it lost "
                "acknowledged records"
            )
        if upto == self.expected:
            return
        reader = await self.log.reader(Topic.EVENTS, self.partition, self.expected)
        try:
            while self.expected < upto:
                chunk = await reader.read(max_wait_s=READ_WAIT_S)
                if chunk is None:
                    raise FencedError(
                        f"expected to read events {self.expected} to {upto} of "
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
                self.expected = min(chunk.end, upto)
        finally:
            await reader.close()

    async def look_at_end(self) -> None:
        """Rule 7: after a lapse, compare the log's end before anything is appended."""
        await self.look(await self.log.end_offset(Topic.EVENTS, self.partition))
