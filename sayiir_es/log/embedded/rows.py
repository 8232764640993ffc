"""The records of an embedded log: SQL that appends them and reads them back."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgpack

from sayiir_es.core.model.errors import OffsetGoneError, UnsafeLogError
from sayiir_es.log.port import Record, Topic

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from sayiir_es.log.port import NewRecord

CHUNK_RECORDS_MAX = 1_000
CHUNK_BYTES_MAX = 1 << 20
"""A chunk ends with the record that reaches either: some milliseconds of reading."""

_msgpack: Any = msgpack  # ships no hints
_pack: Callable[..., bytes] = _msgpack.packb
_unpack: Callable[..., tuple[tuple[str, bytes], ...]] = _msgpack.unpackb

_INSERT = "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)"
_COLUMNS = "offset, key, value, headers, timestamp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A batch for one partition: it lands whole or not at all."""

    topic: Topic
    partition: int
    batch: Sequence[NewRecord]


def insert(connection: sqlite3.Connection, writes: Sequence[Write]) -> list[int]:
    """Write batches in one transaction and return their first offsets.

    The transaction takes the file's write lock first, so no other process can write
    between the look for the end and the write at the end.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        bases = [_insert(connection, write) for write in writes]
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return bases


def _insert(connection: sqlite3.Connection, write: Write) -> int:
    topic, partition = write.topic.value, write.partition
    _, base = bounds(connection, write.topic, partition)
    now_ms = time.time_ns() // 1_000_000
    connection.executemany(
        _INSERT,
        [
            (
                topic,
                partition,
                offset,
                new.key,
                new.value,
                _pack(new.headers) if new.headers else None,
                now_ms,
            )
            for offset, new in enumerate(write.batch, base)
        ],
    )
    return base


def bounds(
    connection: sqlite3.Connection, topic: Topic, partition: int
) -> tuple[int, int]:
    """Return the first kept offset, and the one above the last."""
    # Two queries in one: SQLite answers each by one look at the index.
    ((first, last),) = connection.execute(
        "SELECT (SELECT min(offset) FROM records WHERE topic = ?1 AND partition = ?2),"
        " (SELECT max(offset) FROM records WHERE topic = ?1 AND partition = ?2)",
        (topic.value, partition),
    )
    return (0, 0) if last is None else (first, last + 1)


def read_from(
    connection: sqlite3.Connection, topic: Topic, partition: int, offset: int
) -> list[Record]:
    """Return some records from `offset` on; none at the end of the log.

    Raises:
        OffsetGoneError: it is outside of what the log holds, or a record is missing.
        UnsafeLogError: a row was never written so: the file is damaged.
    """
    query = (
        f"SELECT {_COLUMNS} FROM records"  # noqa: S608 - our own column names
        " WHERE topic = ? AND partition = ? AND offset >= ? ORDER BY offset LIMIT ?"
    )
    parameters = (topic.value, partition, offset, CHUNK_RECORDS_MAX)
    records: list[Record] = []
    size, next_offset = 0, offset
    with closing(connection.execute(query, parameters)) as rows:
        for row in rows:
            if row[0] != next_offset:
                raise OffsetGoneError(
                    f"expected offset {next_offset} of {topic.value!r} {partition}, "
                    f"but the next that the log holds is {row[0]}"
                )
            records.append(_record(row))
            next_offset += 1
            size += sum(len(part) for part in row[1:4] if part)
            if size >= CHUNK_BYTES_MAX:
                break
    if not records:
        _, end = bounds(connection, topic, partition)
        # The log may have grown since the query above, up to this offset and beyond.
        if offset > end or offset < 0:
            raise OffsetGoneError(
                f"expected offset {offset} of {topic.value!r} {partition}, but the log "
                f"ends at {end}"
            )
    return records


def read_key(
    connection: sqlite3.Connection, partition: int, key: bytes
) -> list[Record]:
    """Return the events of one key and those without a key, in order of offset.

    Raises:
        UnsafeLogError: a row was never written so: the file is damaged.
    """
    query = (
        f"SELECT {_COLUMNS} FROM records"  # noqa: S608 - our own column names
        " WHERE topic = 'events' AND key IS ? AND partition = ?"
    )
    records = [
        _record(row)
        for record_key in (key, None)
        for row in connection.execute(query, (record_key, partition))
    ]
    return sorted(records, key=lambda record: record.offset)


def _record(row: Any) -> Record:
    offset, key, value, packed_headers, timestamp_ms = row
    headers = _headers(offset, packed_headers) if packed_headers else ()
    if not (_is_bytes(key) and _is_bytes(value) and type(timestamp_ms) is int):
        raise _damage_error(offset, "a row of other types")
    return Record(
        offset=offset,
        key=key,
        value=value,
        headers=headers,
        timestamp_ms=timestamp_ms,
    )


def _headers(offset: int, packed_headers: Any) -> tuple[tuple[str, bytes], ...]:
    try:
        headers = _unpack(packed_headers, use_list=False)
        for name, value in headers:
            if type(name) is not str or type(value) is not bytes:
                raise _damage_error(offset, "headers of other types")
    except (TypeError, ValueError) as error:
        # Every error of msgpack is a ValueError.
        raise _damage_error(offset, f"{type(error).__name__}: {error}") from error
    return headers


def _is_bytes(value: object) -> bool:
    return value is None or type(value) is bytes


def _damage_error(offset: int, detail: str) -> UnsafeLogError:
    return UnsafeLogError(
        f"expected a whole record at offset {offset}, but {detail}: the file is "
        "damaged, restore it from a copy"
    )
