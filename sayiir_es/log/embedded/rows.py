"""The records of an embedded log: SQL that appends them and reads them back.

What is read is held to its checksum (module `checksum`) before anybody gets it.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack

from sayiir_es.core.model.errors import OffsetGoneError
from sayiir_es.log.embedded.file import is_damage
from sayiir_es.log.embedded.tables import read_bounds, write_bounds
from sayiir_es.log.port import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from sayiir_es.log.embedded.checksum import StoredPartition
    from sayiir_es.log.port import NewRecord

CHUNK_RECORDS_MAX = 1_000
CHUNK_BYTES_MAX = 1 << 20
"""A chunk ends with the record that reaches either: some milliseconds of reading."""

_msgpack: Any = msgpack  # ships no hints
_pack: Callable[..., bytes] = _msgpack.packb
_unpack: Callable[..., tuple[tuple[str, bytes], ...]] = _msgpack.unpackb

_INSERT = "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_COLUMNS = "offset, key, value, headers, timestamp, checksum"


class Write(NamedTuple):
    """A batch for one partition, of `size` bytes: it lands whole or not at all."""

    to: StoredPartition
    batch: Sequence[NewRecord]
    size: int


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
    stored = write.to
    topic, partition = stored.topic.value, stored.partition
    start, base = _bounds(connection, stored)
    now_ms = time.time_ns() // 1_000_000
    rows: list[tuple[object, ...]] = []
    for offset, new in enumerate(write.batch, base):
        headers = _pack(new.headers) if new.headers else None
        checksum = stored.checksum(offset, now_ms, new.key, new.value, headers)
        rows.append(
            (topic, partition, offset, new.key, new.value, headers, now_ms, checksum)
        )
    connection.executemany(_INSERT, rows)
    write_bounds(connection, topic, partition, (start, base + len(rows)))
    return base


def bounds(connection: sqlite3.Connection, stored: StoredPartition) -> tuple[int, int]:
    """Return the first kept offset, and the one above the last.

    Raises:
        DamagedLogError: the first or last record is not what was written: others may
            stand beyond it, out of reach.
    """
    with guarded(stored, 0):
        start, end = _bounds(connection, stored)
        for offset in {start, end - 1} if end else ():
            read_at(connection, stored, offset)
    return start, end


def read_at(
    connection: sqlite3.Connection, stored: StoredPartition, offset: int
) -> Record:
    """Return the record at an offset.

    Raises:
        DamagedLogError: it is not what was written, or is missing.
    """
    query = (
        f"SELECT {_COLUMNS} FROM records"  # noqa: S608 - our own column names
        " WHERE topic = ? AND partition = ? AND offset = ?"
    )
    parameters = (stored.topic.value, stored.partition, offset)
    rows = connection.execute(query, parameters).fetchall()
    if len(rows) != 1:
        raise stored.damage(offset, f"{len(rows)} rows are found")
    return _record(stored, rows[0])


def _bounds(connection: sqlite3.Connection, stored: StoredPartition) -> tuple[int, int]:
    return read_bounds(connection, stored.topic.value, stored.partition)


class Read(NamedTuple):
    """Records that follow each other; `is_last` where none stood behind them."""

    records: list[Record]
    is_last: bool


def read_from(
    connection: sqlite3.Connection, stored: StoredPartition, offset: int
) -> Read:
    """Return some records from `offset` on; none at the end of the log.

    Raises:
        OffsetGoneError: it is outside of what the log holds.
        DamagedLogError: a record is not what was written, or is missing.
    """
    read = _read_chunk(connection, stored, offset)
    if read.records:
        return read
    _, end = bounds(connection, stored)
    if offset > end or offset < 0:
        raise OffsetGoneError(
            f"expected offset {offset} of {stored.topic.value!r} {stored.partition}, "
            f"but the log ends at {end}"
        )
    if offset < end:  # the log may have grown since, else they are out of reach
        read = _read_chunk(connection, stored, offset)
        if not read.records:
            raise stored.damage(offset, f"none is found up to offset {end}")
    return read


def _read_chunk(
    connection: sqlite3.Connection, stored: StoredPartition, offset: int
) -> Read:
    query = (
        f"SELECT {_COLUMNS} FROM records"  # noqa: S608 - our own column names
        " WHERE topic = ? AND partition = ? AND offset >= ? ORDER BY offset LIMIT ?"
    )
    parameters = (stored.topic.value, stored.partition, offset, CHUNK_RECORDS_MAX)
    records: list[Record] = []
    size, next_offset = 0, offset
    with (
        guarded(stored, offset),
        closing(connection.execute(query, parameters)) as rows,
    ):
        for row in rows:
            if row[0] != next_offset:
                _refuse_gap(connection, stored, next_offset, row[0])
            records.append(_record(stored, row))
            next_offset += 1
            size += sum(len(part) for part in row[1:4] if part)
            if size >= CHUNK_BYTES_MAX:
                return Read(records, is_last=False)
    return Read(records, is_last=len(records) < CHUNK_RECORDS_MAX)


def _refuse_gap(
    connection: sqlite3.Connection, stored: StoredPartition, expected: int, seen: object
) -> None:
    """Raise the error of an offset that is not the next one."""
    first, _ = _bounds(connection, stored)
    if expected < first:
        raise OffsetGoneError(
            f"expected offset {expected} of {stored.topic.value!r} {stored.partition}, "
            f"but the next that the log holds is {seen}"
        )
    raise stored.damage(expected, f"the next that it holds is {seen!r}")


def _record(stored: StoredPartition, row: Any) -> Record:
    offset, key, value, packed_headers, timestamp_ms, checksum = row
    if not (
        _is_bytes(key)
        and _is_bytes(value)
        and _is_bytes(packed_headers)
        and type(timestamp_ms) is int
        and type(offset) is int
    ):
        raise stored.damage(offset, "a row of other types stands there")
    if checksum is not None or offset >= stored.unchecked_end:
        seen = stored.checksum(offset, timestamp_ms, key, value, packed_headers)
        if seen != checksum:
            raise stored.damage(
                offset, f"its checksum is {seen}, where {checksum!r} was written"
            )
    headers = _headers(stored, offset, packed_headers) if packed_headers else ()
    return Record(
        offset=offset,
        key=key,
        value=value,
        headers=headers,
        timestamp_ms=timestamp_ms,
    )


def _headers(
    stored: StoredPartition, offset: int, packed_headers: bytes
) -> tuple[tuple[str, bytes], ...]:
    try:
        headers = _unpack(packed_headers, use_list=False)
        for name, value in headers:
            if type(name) is not str or type(value) is not bytes:
                raise stored.damage(offset, "headers of other types stand there")
    except (TypeError, ValueError) as error:
        # Every error of msgpack is a ValueError.
        raise stored.damage(offset, f"{type(error).__name__}: {error}") from error
    return headers


def _is_bytes(value: object) -> bool:
    return value is None or type(value) is bytes


@contextmanager
def guarded(stored: StoredPartition, offset: int) -> Generator[None]:
    """Name the partition, and from where it was read, in what SQLite says of damage."""
    try:
        yield
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        raise stored.damage(offset, f"SQLite says, from there on: {error}") from error
