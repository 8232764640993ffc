"""The file of an embedded log: how it is made, checked, and connected to.

    meta(key, value)      format, log id, partition count, one id a topic
    records(topic, partition, offset, key, value, headers, timestamp)

Records are told by `embedded_rows`. A commit is durable when it returns: the file is in
write-ahead mode with `synchronous=FULL`, so SQLite syncs the log of pages at each
commit, and its sums tell a torn tail from a whole transaction. Never open the file by
other means inside a process that uses it: closing it drops SQLite's locks.
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
"""Of the tables; a build refuses a file of any other."""

APPLICATION_ID = 0x53415945
"""`SAYE`, in the header of the file: tells it from any other SQLite file."""

_HEADER_BYTES = 100
"""What every SQLite file begins with."""

BUSY_LIMIT_S = 5.0
"""How long a writer waits for the others: they hold the file for one commit each."""

WHOLE_CHECK_BYTES_MAX = 16 << 20
"""Files up to this size are read through at each start (some 20 ms); what is wrong in
a larger one is found when it is read."""

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
    """Say whether other processes kept the file from us: nothing was written."""
    return _primary(error) in _LOCKED


def is_disk_failure(error: sqlite3.Error) -> bool:
    """Say whether the disk failed: what its cache shows may not be on it."""
    return _primary(error) == sqlite3.SQLITE_IOERR


def log_error_of(path: Path, error: sqlite3.Error) -> LogError:
    """Return what an error of SQLite means to who uses the log at `path`."""
    if is_lock(error):
        return LogUnavailableError(
            f"expected to use {str(path)!r} within {BUSY_LIMIT_S:g} s, but another "
            "process kept it locked"
        )
    if _primary(error) in _DAMAGED:
        return UnsafeLogError(
            f"expected a whole log in {str(path)!r}, but SQLite says: {error}; restore "
            "it from a copy, or move it away to begin anew"
        )
    return LogUnavailableError(
        f"expected to use {str(path)!r}, but SQLite says: {error}"
    )


def connect(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """Connect, with every commit durable; the caller's thread owns the connection."""
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
        raise _damage("malformed database schema") from error
    return connection


def open_file(path: Path, *, create: bool, partitions: int) -> LogIdentity:
    """Make the file if there is none and `create`; check it and say which log it is.

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
    size = _checked_size(path)
    _make_folder(path, create=create)
    try:
        with closing(connect(path, create=create)) as connection:
            _check_kind(connection, path)
            rest = size % _value(connection, "PRAGMA page_size")
            if rest:  # SQLite would take what is missing of the last page for zeros
                raise _cut(path, f"{rest} bytes of its last page")
            # Behind the check: it changes the file.
            _begin_write_ahead(connection, path)
            if create:
                _create(connection, partitions)
            return _identity(connection, path, partitions)
    except sqlite3.Error as error:
        raise log_error_of(path, error) from error


def _checked_size(path: Path) -> int:
    """The file's size where its pages are all there is: without a write-ahead file.

    SQLite takes a file of no byte, or one, for a new one, and deletes the write-ahead
    file beside it. Its own are never so: a first page comes whole, and before that.

    Raises:
        UnsafeLogError: if a log would be made anew over what is left of one.
    """
    try:  # by its name: closing the file would drop the locks of this process
        size = path.stat().st_size
        ahead = path.with_name(f"{path.name}-wal")
        rest = ahead.stat().st_size if ahead.exists() else 0
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise LogUnavailableError(f"expected a log, but {error}") from error
    if 0 < size < _HEADER_BYTES:
        raise _cut(path, f"{size} bytes")
    if size == 0 < rest:
        raise _cut(path, f"0 bytes beside a write-ahead file of {rest}")
    return 0 if rest else size


def _cut(path: Path, seen: str) -> UnsafeLogError:
    return UnsafeLogError(
        f"expected a whole log in {str(path)!r}, but {seen}; restore it from a copy, "
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
        missing = [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        # The name of a new folder is durable when the folder that lists it is synced.
        for folder in missing:
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
    # In one transaction: between two, another process may make the log's tables.
    connection.execute("BEGIN")
    try:
        application = _value(connection, "PRAGMA application_id")
        tables = _value(connection, "SELECT count(*) FROM sqlite_master")
    finally:
        connection.execute("ROLLBACK")
    if application != APPLICATION_ID and (application or tables):
        raise UnsafeLogError(
            f"expected a log in {str(path)!r}, but it is the SQLite file of another "
            "program"
        )


def _begin_write_ahead(connection: sqlite3.Connection, path: Path) -> None:
    """Switch to the write-ahead mode; SQLite does not wait for the lock by itself."""
    end_s = time.monotonic() + BUSY_LIMIT_S
    while True:
        try:
            mode = _value(connection, "PRAGMA journal_mode = WAL")
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
    """Make the tables, unless another process has: whole or not at all."""
    if _value(connection, "PRAGMA application_id"):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not _value(connection, "PRAGMA application_id"):
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


def _identity(
    connection: sqlite3.Connection, path: Path, partitions: int
) -> LogIdentity:
    if not _value(connection, "PRAGMA application_id"):
        raise LogUnavailableError(
            f"expected a log in {str(path)!r}, but nobody has made it yet"
        )
    meta: dict[str, str] = dict(connection.execute("SELECT key, value FROM meta"))
    if meta.get("format") != FORMAT:
        raise UnsafeLogError(
            f"expected a log of format {FORMAT!r} in {str(path)!r}, but it has "
            f"{meta.get('format')!r}: use the build that wrote it"
        )
    pages: int = _value(connection, "PRAGMA page_count")
    if pages * _value(connection, "PRAGMA page_size") <= WHOLE_CHECK_BYTES_MAX:
        found = _value(connection, "PRAGMA quick_check(1)")
        if found != "ok":
            raise log_error_of(path, _damage(found))
    topics = {t.value: meta.get(f"topic:{t.value}", "") for t in APP_TOPICS}
    missing = sorted(name for name, id_ in topics.items() if not id_)
    if missing or "log_id" not in meta:
        raise UnsafeLogError(
            f"expected every topic in {str(path)!r}, but {missing or ['log_id']} is "
            "missing"
        )
    if meta.get("partitions") != str(partitions):
        raise UnsafeLogError(
            f"expected {partitions} partitions in {str(path)!r}, but it was made with "
            f"{meta.get('partitions')!r}"
        )
    return LogIdentity(cluster_id=meta["log_id"], partitions=partitions, topics=topics)


def _value(connection: sqlite3.Connection, question: str) -> Any:
    (row,) = connection.execute(question).fetchall()
    return row[0]


def _primary(error: sqlite3.Error) -> int:
    # The low byte is the kind, the rest says more about it. Errors that Python itself
    # raises have none.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _damage(found: object) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(str(found))
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
