"""The tables of an embedded log: made, brought to this build's format, and checked.

    meta(key, value)      format, log id, partition count, one id a topic, a checksum
    records(topic, partition, offset, key, value, headers, timestamp, checksum)
    bounds(topic, partition, first, next, checksum)

`bounds` has a row for each partition of each topic. It says which offsets there are: a
damaged tree of records may hide the last ones.

A file of format 1 has no checksums; it is brought to format 2 when it is opened. Its
records keep none: `unchecked:TOPIC/PARTITION` in `meta` says below which offset they
stand. From then on builds that know only format 1 refuse the file.
"""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sayiir_es.core.model.errors import AppNotFoundError, UnsafeLogError
from sayiir_es.log.embedded.checksum import bounds_checksum, meta_checksum
from sayiir_es.log.port import APP_TOPICS, LogIdentity, Topic

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

FORMAT = "2"
"""Of the tables; a build refuses any other format, the one before excepted."""

FORMAT_BEFORE = "1"
"""Without checksums; such a file is brought to `FORMAT`."""

APPLICATION_ID = 0x53415945
"""`SAYE`, in the header of the file: other programs' SQLite files have another id."""

WHOLE_CHECK_BYTES_MAX = 16 << 20
"""Files up to this size are checked whole at each start (some 100 ms); damage in a
larger one is noticed when it is read."""

_BOUNDS = """
CREATE TABLE bounds (
  topic TEXT NOT NULL,
  partition INTEGER NOT NULL,
  first INTEGER NOT NULL,
  next INTEGER NOT NULL,
  checksum INTEGER NOT NULL,
  PRIMARY KEY (topic, partition)
) WITHOUT ROWID
"""

_SCHEMA = f"""
{_BOUNDS};
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE records (
  topic TEXT NOT NULL,
  partition INTEGER NOT NULL,
  offset INTEGER NOT NULL,
  key BLOB,
  value BLOB,
  headers BLOB,
  timestamp INTEGER NOT NULL,
  checksum INTEGER,
  PRIMARY KEY (topic, partition, offset)
) WITHOUT ROWID;
CREATE INDEX instance ON records (key, partition, offset) WHERE topic = 'events';
"""

_UNCHECKED = "unchecked:"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedFile:
    """What a file says of itself.

    Attributes:
        identity: Which log it holds.
        unchecked_ends: `TOPIC/PARTITION` → the offset below which records have no
            checksum.
    """

    identity: LogIdentity
    unchecked_ends: Mapping[str, int]


def create_tables(connection: sqlite3.Connection, partitions: int) -> None:
    """Create the tables in one transaction, unless another process has done so."""
    if read_value(connection, "PRAGMA application_id"):
        return
    with _transaction(connection):
        if read_value(connection, "PRAGMA application_id"):
            return
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        meta = {
            "format": FORMAT,
            "log_id": secrets.token_hex(8),
            "partitions": str(partitions),
            **{f"topic:{topic.value}": secrets.token_hex(8) for topic in APP_TOPICS},
        }
        _write_meta(connection, meta)
        _write_empty_bounds(connection, partitions)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def check_tables(
    connection: sqlite3.Connection, path: Path, partitions: int
) -> OpenedFile:
    """Check the tables, bring them to this build's format, and say what they hold.

    Raises:
        AppNotFoundError: nobody has made them yet.
        UnsafeLogError: they are not of our log.
        sqlite3.Error: they are damaged, or cannot be used now.
    """
    if not read_value(connection, "PRAGMA application_id"):
        raise AppNotFoundError(
            f"expected a log in {str(path)!r}, but nobody has made it yet"
        )
    _check_whole(connection)
    meta = _read_meta(connection)
    if meta.get("format") == FORMAT_BEFORE:
        meta = _bring_to_format(connection)
    if meta.get("format") != FORMAT:
        raise UnsafeLogError(
            f"expected a log of format {FORMAT!r} in {str(path)!r}, but it has "
            f"{meta.get('format')!r}: use the build that wrote it"
        )
    topics = {t.value: meta.get(f"topic:{t.value}", "") for t in APP_TOPICS}
    missing_topics = sorted(name for name, id_ in topics.items() if not id_)
    if missing_topics or "log_id" not in meta:
        raise UnsafeLogError(
            f"expected every topic in {str(path)!r}, but "
            f"{missing_topics or ['log_id']} is missing"
        )
    if meta_checksum(meta) != meta.get("checksum"):
        raise damage_error("what the file says of itself has another checksum")
    if meta.get("partitions") != str(partitions):
        raise UnsafeLogError(
            f"expected {partitions} partitions in {str(path)!r}, but it was made with "
            f"{meta.get('partitions')!r}"
        )
    return OpenedFile(
        identity=LogIdentity(
            cluster_id=meta["log_id"], partitions=partitions, topics=topics
        ),
        unchecked_ends={
            key.removeprefix(_UNCHECKED): int(end)
            for key, end in meta.items()
            if key.startswith(_UNCHECKED)
        },
    )


def _check_whole(connection: sqlite3.Connection) -> None:
    """Hold a small file to its structure, the index of instances included."""
    pages: int = read_value(connection, "PRAGMA page_count")
    if pages * read_value(connection, "PRAGMA page_size") <= WHOLE_CHECK_BYTES_MAX:
        verdict = read_value(connection, "PRAGMA integrity_check(1)")
        if verdict != "ok":
            raise damage_error(verdict)


def _bring_to_format(connection: sqlite3.Connection) -> dict[str, str]:
    """Add the checksums' column to a file of the format before, and return its meta."""
    with _transaction(connection):
        meta = _read_meta(connection)
        if meta.get("format") != FORMAT_BEFORE:
            return meta  # another process has done so
        connection.execute("ALTER TABLE records ADD COLUMN checksum INTEGER")
        connection.execute(_BOUNDS)
        ends = connection.execute(
            "SELECT topic, partition, min(offset), max(offset) + 1 FROM records"
            " GROUP BY 1, 2"
        )
        _write_empty_bounds(connection, int(meta.get("partitions", "1")))
        for topic, partition, first, end in ends.fetchall():
            meta[f"{_UNCHECKED}{topic}/{partition}"] = str(end)
            write_bounds(connection, topic, partition, (first, end))
        meta["format"] = FORMAT
        return _write_meta(connection, meta)


def _read_meta(connection: sqlite3.Connection) -> dict[str, str]:
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    if not all(type(text) is str for pair in meta.items() for text in pair):
        raise damage_error("what the file says of itself is no text")
    return meta


def _write_meta(connection: sqlite3.Connection, meta: dict[str, str]) -> dict[str, str]:
    meta["checksum"] = meta_checksum(meta)
    connection.executemany("REPLACE INTO meta VALUES (?, ?)", meta.items())
    return meta


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def read_bounds(
    connection: sqlite3.Connection, topic: str, partition: int
) -> tuple[int, int]:
    """Return the first offset of a partition and the next one.

    Raises:
        sqlite3.Error: what stands there is damaged.
    """
    query = "SELECT first, next, checksum FROM bounds WHERE topic = ? AND partition = ?"
    rows = connection.execute(query, (topic, partition)).fetchall()
    for first, end, checksum in rows:
        if bounds_checksum(topic, partition, (first, end)) == checksum:
            return first, end
    raise damage_error(f"the bounds of {topic!r} {partition} have another checksum")


def write_bounds(
    connection: sqlite3.Connection, topic: str, partition: int, bounds: tuple[int, int]
) -> None:
    """Write the first offset of a partition and the next one."""
    checksum = bounds_checksum(topic, partition, bounds)
    connection.execute(
        "REPLACE INTO bounds VALUES (?, ?, ?, ?, ?)",
        (topic, partition, *bounds, checksum),
    )


def _write_empty_bounds(connection: sqlite3.Connection, partitions: int) -> None:
    for topic in (*APP_TOPICS, Topic.SNAPSHOTS):
        for partition in range(1 if topic is Topic.DEFINITIONS else partitions):
            write_bounds(connection, topic.value, partition, (0, 0))


def read_value(connection: sqlite3.Connection, query: str) -> Any:
    """Return the one value that a query gives."""
    (row,) = connection.execute(query).fetchall()
    return row[0]


def damage_error(detail: object) -> sqlite3.DatabaseError:
    """Return an error as SQLite raises it for a damaged file."""
    error = sqlite3.DatabaseError(str(detail))
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
