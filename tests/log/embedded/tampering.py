"""Changes in a log's file by somebody who knows how its checksums are made."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from sayiir_es.log.embedded.checksum import StoredPartition
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from pathlib import Path


def replace_value(path: Path, offset: int, value: bytes) -> None:
    """Replace the value of an event, and make its checksum fit."""
    to = StoredPartition(path=path, topic=Topic.EVENTS, partition=0)
    place = "where topic = 'events' and offset = ?"
    with closing(sqlite3.connect(path)) as file, file:
        [(key, headers, timestamp_ms)] = file.execute(
            f"select key, headers, timestamp from records {place}",  # noqa: S608 (our own text)
            (offset,),
        )
        checksum = to.checksum(offset, timestamp_ms, key, value, headers)
        file.execute(
            f"update records set value = ?, checksum = ? {place}",  # noqa: S608 (our own text)
            (value, checksum, offset),
        )
