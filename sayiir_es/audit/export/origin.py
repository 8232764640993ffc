"""How a record keeps its time when it is imported: the log stamps it anew.

An import adds a header with the time that the record had; an export of that log takes
it for the time again and leaves the header out. So exports of both are the same.
Whoever produces commands may forge it, as they may forge a record's time on Kafka: no
event depends on either.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.log.port import NewRecord

if TYPE_CHECKING:
    from sayiir_es.log.port import Record

TIME_HEADER = "imported-timestamp-ms"

_TIME = re.compile(rb"-?[0-9]{1,18}")


def as_exported(record: Record) -> Record:
    """The record as it was before it was imported, if it was."""
    if not record.headers or record.headers[-1][0] != TIME_HEADER:
        return record
    text = record.headers[-1][1]
    if _TIME.fullmatch(text) is None:
        return record
    return replace(record, headers=record.headers[:-1], timestamp_ms=int(text))


def as_imported(record: Record) -> NewRecord:
    """The record as an import writes it."""
    time = (TIME_HEADER, b"%d" % record.timestamp_ms)
    return NewRecord(
        key=record.key, value=record.value, headers=(*record.headers, time)
    )
