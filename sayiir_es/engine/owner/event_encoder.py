"""Encodes each event of a batch once: for its size, and then for the log.

How much room a decision has left depends on the size of its events, so it is asked for
while the decision is made. To work it out from the values takes longer than to encode
them, which has to be done anyway.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from sayiir_es.core.model.record_size import record_bytes
from sayiir_es.engine.owner.tenure import to_record
from sayiir_es.log.batch_size import headers_bytes
from sayiir_es.wire.trace_context import TRACEPARENT_BYTES, trace_headers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.model.events import Event
    from sayiir_es.log.port import NewRecord


_headers_bytes = lru_cache(maxsize=1024)(headers_bytes)
"""The headers of events are those of a kind and a claim: few, in one process."""

_TRACE_BYTES = headers_bytes(trace_headers("0" * TRACEPARENT_BYTES))
"""And a trace context, which is always as long."""


class EventEncoder:
    """Encodes the events of one owner's decisions, one decision after the other."""

    def __init__(self) -> None:
        self.traceparent: str | None = None
        """The trace context of the decision that is made."""
        self._records: dict[int, NewRecord] = {}
        """Of the events of the decision that is made, by their identity: to compare
        events would take as long as to encode them."""

    def size_of(self, event: Event) -> int:
        """Encode an event; how many bytes its record takes in a batch.

        Raises:
            EncodeError: if a value is not what its field takes.
        """
        record = self._records[id(event)] = to_record(event, self.traceparent)
        headers = _headers_bytes(record.headers[:2])
        if self.traceparent is not None:
            headers += _TRACE_BYTES
        return record_bytes(len(record.key or b""), len(record.value or b""), headers)

    def take(self, events: Sequence[Event]) -> list[NewRecord]:
        """The records of a decision's events; those of events that it dropped go."""
        records = [self._records[id(event)] for event in events]
        self._records.clear()
        return records
