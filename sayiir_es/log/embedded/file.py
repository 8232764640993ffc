"""The file of an embedded log: how it is made, checked, and connected to.

    meta(key, value)      format, log id, partition count, one id a topic
    records(topic, partition, offset, key, value, headers, timestamp)

Module `rows` writes and reads the records. A commit is durable when it returns: the
file is in write-ahead mode with `synchronous=FULL`, so SQLite syncs the write-ahead
file at each commit, and its checksums tell a torn tail from a whole transaction. Never
open the file by other means in a process that uses it: to close it drops SQLite's
locks.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from sayiir_es.core.model.errors import LogError, LogUnavailableError, UnsafeLogError
from sayiir_es.log.embedded.network_disk import network_disk
from sayiir_es.log.port import APP_TOPICS, LogIdentity

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "1"
"""Of the tables; a build refuses a file of any other format."""

APPLICATION_ID = 0x53415945
"""`SAYE`, in the header of the file: other programs' SQLite files have another id."""

_HEADER_BYTES = 100
"""What every SQLite file begins with."""

BUSY_LIMIT_S = 5.0
"""How long a writer waits for the others, which lock the file for one commit each."""

WHOLE_CHECK_BYTES_MAX = 16 << 20
"""Files up to this size are checked whole at each start (some 20 ms); damage in a
larger one is noticed when it is read."""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE records (
  topic TEXT NOT NULL,
  partition INTEGER NOT NULL,
  offset INTEGER NOT NULL,
  key BLOB,
  value BLOB,
  headers BLOB,
  timestamp INTEGER NOT NULL,
  PRIMARY KEY (topic, partition, offset)
) WITHOUT ROWID;
CREATE INDEX instance ON records (key, partition, offset) WHERE topic = 'events';
"""

_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def is_lock(error: sqlite3.Error) -> bool:
    """Return whether other processes kept the file locked: nothing was written."""
    return _primary_code(error) in _LOCKED


def is_disk_failure(error: sqlite3.Error) -> bool:
    """Return whether the disk failed: what its cache shows may not be on it."""
    return _primary_code(error) == sqlite3.SQLITE_IOERR


def log_error_of(path: Path, error: sqlite3.Error) -> LogError:
    """Return the log error that an error of SQLite means for the log at `path`."""
    if is_lock(error):
        return LogUnavailableError(
            f"expected to use {str(path)!r} within {BUSY_LIMIT_S:g} s, but another "
            "process kept it locked"
        )
    if _primary_code(error) in _DAMAGED:
        return UnsafeLogError(
            f"expected a whole log in {str(path)!r}, but SQLite says: {error}; restore "
            "it from a copy, or move it away to begin anew"
        )
    return LogUnavailableError(
        f"expected to use {str(path)!r}, but SQLite says: {error}"
    )


def connect(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """Connect, with every commit durable; the caller's thread owns the connection.

    Raises:
        sqlite3.Error: there is no file and `create` is false, or it cannot be used now.
    """
    mode = "rwc" if create else "rw"
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_LIMIT_S,
        isolation_level=None,
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # on macOS fsync is not enough
    except UnicodeDecodeError as error:  # Python cannot read what SQLite says of it
        raise _damage_error("malformed database schema") from error
    return connection


def open_file(path: Path, *, create: bool, partitions: int) -> LogIdentity:
    """Make the file if there is none and `create`; check it and return its identity.

    Raises:
        LogUnavailableError: there is none, or it cannot be used now.
        UnsafeLogError: it is not a log of ours, of another format, damaged, of another
            partition count, or on a disk where SQLite is not safe.
    """
    kind = network_disk(path)
    if kind is not None:
        raise UnsafeLogError(
            f"expected {str(path)!r} on a disk of this machine, but it is on {kind!r}: "
            "choose a local path, or Kafka for several machines"
        )
    size = _check_size(path)
    _make_folder(path, create=create)
    try:
        with closing(connect(path, create=create)) as connection:
            _check_kind(connection, path)
            excess_bytes = size % _read_value(connection, "PRAGMA page_size")
            if excess_bytes:
                # SQLite would read the missing part of the last page as zeros.
                raise _cut_error(path, f"{excess_bytes} bytes of its last page")
            # After the check, because it changes the file.
            _begin_write_ahead(connection, path)
            if create:
                _create(connection, partitions)
            return _read_identity(connection, path, partitions)
    except sqlite3.Error as error:
        raise log_error_of(path, error) from error


def _check_size(path: Path) -> int:
    """Return the file's size in bytes; 0 where a write-ahead file holds the rest of it.

    SQLite takes a file of no byte, or of one, for a new one, and deletes the
    write-ahead file beside it. SQLite itself never leaves such a file: it writes the
    first page whole, and before the write-ahead file.

    Raises:
        UnsafeLogError: if a new log would be made over the rest of a damaged one.
        LogUnavailableError: if the file cannot be looked at.
    """
    try:  # by its name: to open and close the file would drop this process's locks
        size = path.stat().st_size
        ahead_file = path.with_name(f"{path.name}-wal")
        ahead_size = ahead_file.stat().st_size if ahead_file.exists() else 0
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise LogUnavailableError(f"expected a log, but {error}") from error
    if 0 < size < _HEADER_BYTES:
        raise _cut_error(path, f"{size} bytes")
    if size == 0 < ahead_size:
        raise _cut_error(path, f"0 bytes beside a write-ahead file of {ahead_size}")
    return 0 if ahead_size else size


def _cut_error(path: Path, detail: str) -> UnsafeLogError:
    return UnsafeLogError(
        f"expected a whole log in {str(path)!r}, but {detail}; restore it from a copy, "
        "or move it away to begin anew"
    )


def _make_folder(path: Path, *, create: bool) -> None:
    if path.exists():
        return
    if not create:
        raise LogUnavailableError(
            f"expected a log in {str(path)!r}, but there is no such file"
        )
    try:
        new_folders = [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        # The name of a new folder is durable when the folder that lists it is synced.
        for folder in new_folders:
            _sync_folder(folder.parent)
    except OSError as error:
        raise LogUnavailableError(
            f"expected a folder for {str(path)!r}, but {error}"
        ) from error


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _check_kind(connection: sqlite3.Connection, path: Path) -> None:
    # In one transaction: between two, another process may create the log's tables.
    connection.execute("BEGIN")
    try:
        application = _read_value(connection, "PRAGMA application_id")
        tables = _read_value(connection, "SELECT count(*) FROM sqlite_master")
    finally:
        connection.execute("ROLLBACK")
    if application != APPLICATION_ID and (application or tables):
        raise UnsafeLogError(
            f"expected a log in {str(path)!r}, but it is the SQLite file of another "
            "program"
        )


def _begin_write_ahead(connection: sqlite3.Connection, path: Path) -> None:
    """Switch to the write-ahead mode; for that SQLite does not wait for the lock."""
    end_s = time.monotonic() + BUSY_LIMIT_S
    while True:
        try:
            mode = _read_value(connection, "PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not is_lock(error) or time.monotonic() > end_s:
                raise
            time.sleep(0.005)
            continue
        if mode == "wal":
            return
        raise UnsafeLogError(
            f"expected a write-ahead log for {str(path)!r}, but SQLite keeps {mode!r}"
        )


def _create(connection: sqlite3.Connection, partitions: int) -> None:
    """Create the tables in one transaction, unless another process has done so."""
    if _read_value(connection, "PRAGMA application_id"):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not _read_value(connection, "PRAGMA application_id"):
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            ids = {f"topic:{topic.value}": secrets.token_hex(8) for topic in APP_TOPICS}
            meta = {
                "format": FORMAT,
                "log_id": secrets.token_hex(8),
                "partitions": str(partitions),
                **ids,
            }
            connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _read_identity(
    connection: sqlite3.Connection, path: Path, partitions: int
) -> LogIdentity:
    if not _read_value(connection, "PRAGMA application_id"):
        raise LogUnavailableError(
            f"expected a log in {str(path)!r}, but nobody has made it yet"
        )
    meta: dict[str, str] = dict(connection.execute("SELECT key, value FROM meta"))
    if meta.get("format") != FORMAT:
        raise UnsafeLogError(
            f"expected a log of format {FORMAT!r} in {str(path)!r}, but it has "
            f"{meta.get('format')!r}: use the build that wrote it"
        )
    pages: int = _read_value(connection, "PRAGMA page_count")
    if pages * _read_value(connection, "PRAGMA page_size") <= WHOLE_CHECK_BYTES_MAX:
        verdict = _read_value(connection, "PRAGMA quick_check(1)")
        if verdict != "ok":
            raise log_error_of(path, _damage_error(verdict))
    topics = {t.value: meta.get(f"topic:{t.value}", "") for t in APP_TOPICS}
    missing_topics = sorted(name for name, id_ in topics.items() if not id_)
    if missing_topics or "log_id" not in meta:
        raise UnsafeLogError(
            f"expected every topic in {str(path)!r}, but "
            f"{missing_topics or ['log_id']} is missing"
        )
    if meta.get("partitions") != str(partitions):
        raise UnsafeLogError(
            f"expected {partitions} partitions in {str(path)!r}, but it was made with "
            f"{meta.get('partitions')!r}"
        )
    return LogIdentity(cluster_id=meta["log_id"], partitions=partitions, topics=topics)


def _read_value(connection: sqlite3.Connection, query: str) -> Any:
    (row,) = connection.execute(query).fetchall()
    return row[0]


def _primary_code(error: sqlite3.Error) -> int:
    # The low byte is the kind of error, the rest is detail. Errors that Python itself
    # raises have no code.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _damage_error(detail: object) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(str(detail))
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
