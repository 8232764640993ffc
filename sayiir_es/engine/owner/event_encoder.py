"""Encodes each event of a batch once: for its size, and then for the log.

How much room a decision has left depends on the size of its events, so it is asked for
while the decision is made. To work it out from the values takes longer than to encode
them, which has to be done anyway.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from sayiir_es.core.fast_frozen import maker
from sayiir_es.core.model.record_size import record_bytes
from sayiir_es.log.batch_size import headers_bytes
from sayiir_es.log.port import NewRecord
from sayiir_es.wire.events import encode_keyed, event_headers
from sayiir_es.wire.trace_context import TRACEPARENT_BYTES, trace_headers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.core.model.events import Event

_new_record = maker(NewRecord)

_TRACE_BYTES = headers_bytes(trace_headers("0" * TRACEPARENT_BYTES))
"""What a trace context takes among the headers: it is always as long."""


@lru_cache(maxsize=1024)
def _headers_of(kind: str, claim: int) -> tuple[tuple[tuple[str, bytes], ...], int]:
    """The headers of the events of a kind under a claim, and how many bytes they take.

    These are few, in one process.
    """
    headers = event_headers(kind, claim)
    return headers, headers_bytes(headers)


class EventEncoder:
    """Encodes the events of one owner's decisions, one decision after the other."""

    def __init__(self) -> None:
        self.traceparent: str | None = None
        """The trace context of the decision that is made."""
        self._events: list[Event] = []
        """Those of the decision that is made, as far as they were encoded."""
        self._records: list[NewRecord] = []
        """Their records, in the same order."""

    def size_of(self, event: Event) -> int:
        """Encode an event; how many bytes its record takes in a batch.

        Raises:
            EncodeError: if a value is not what its field takes.
        """
        key, value = encode_keyed(event)
        headers, size = _headers_of(event.kind, event.claim)
        if self.traceparent is not None:
            headers += trace_headers(self.traceparent)
            size += _TRACE_BYTES
        self._events.append(event)
        self._records.append(_new_record(key=key, value=value, headers=headers))
        return record_bytes(0 if key is None else len(key), len(value), size)

    def take(self, events: Sequence[Event]) -> list[NewRecord]:
        """The records of a decision's events; those of events that it dropped go."""
        encoded, records = self._events, self._records
        self._events, self._records = [], []
        if encoded == [*events]:
            return records  # as almost always: the same events, and none was dropped
        # By identity: to compare events would take as long as to encode them.
        by_id = {
            id(event): record for event, record in zip(encoded, records, strict=True)
        }
        return [by_id[id(event)] for event in events]
