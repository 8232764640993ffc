"""The file of an embedded log: how it is made, checked, and connected to.

Module `tables` makes its tables, `rows` writes and reads the records. A commit is
durable when it returns: the file is in write-ahead mode with `synchronous=FULL`, so
SQLite syncs the write-ahead file at each commit, and its checksums tell a torn tail
from a whole transaction. Never open the file by other means in a process that uses it:
to close it drops SQLite's locks.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import (
    DamagedLogError,
    LogUnavailableError,
    UnsafeLogError,
)
from sayiir_es.log.embedded.checksum import ADVICE
from sayiir_es.log.embedded.network_disk import network_disk
from sayiir_es.log.embedded.tables import (
    APPLICATION_ID,
    check_tables,
    create_tables,
    damage_error,
    read_value,
)

if TYPE_CHECKING:
    from pathlib import Path

    from sayiir_es.core.model.errors import WorkflowError
    from sayiir_es.log.embedded.tables import OpenedFile

_HEADER_BYTES = 100
"""What every SQLite file begins with."""

BUSY_LIMIT_S = 5.0
"""How long a writer waits for the others, which lock the file for one commit each."""

_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DAMAGED = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        # Of our few fixed statements only a damaged schema, row or index makes these.
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
    }
)


def is_lock(error: sqlite3.Error) -> bool:
    """Return whether other processes kept the file locked: nothing was written."""
    return _primary_code(error) in _LOCKED


def is_disk_failure(error: sqlite3.Error) -> bool:
    """Return whether the disk failed: what its cache shows may not be on it."""
    return _primary_code(error) == sqlite3.SQLITE_IOERR


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether what stands in the file is not what SQLite or we wrote."""
    # Python's own error, without a code, for a text that is none.
    return _primary_code(error) in _DAMAGED or "decode to UTF-8" in str(error)


def log_error_of(path: Path, error: sqlite3.Error) -> WorkflowError:
    """Return the error of ours that an error of SQLite means for the log at `path`."""
    if is_lock(error):
        return LogUnavailableError(
            f"expected to use {str(path)!r} within {BUSY_LIMIT_S:g} s, but another "
            "process kept it locked"
        )
    if _primary_code(error) == sqlite3.SQLITE_NOTADB:
        return UnsafeLogError(
            f"expected a log in {str(path)!r}, but SQLite says: {error}; restore it "
            "from a copy, or move it away to begin anew"
        )
    if is_damage(error):
        return DamagedLogError(
            f"expected a whole log in {str(path)!r}, but SQLite says: {error}; {ADVICE}"
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
        raise damage_error("malformed database schema") from error
    return connection


def open_file(path: Path, *, create: bool, partitions: int) -> OpenedFile:
    """Make the file if there is none and `create`; check it and say what it holds.

    Raises:
        LogUnavailableError: there is none, or it cannot be used now.
        UnsafeLogError: it is not a log of ours, of another format, of another
            partition count, or on a disk where SQLite is not safe.
        DamagedLogError: it is damaged.
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
            excess_bytes = size % read_value(connection, "PRAGMA page_size")
            if excess_bytes:
                # SQLite would read the missing part of the last page as zeros.
                raise _cut_error(path, f"{excess_bytes} bytes of its last page")
            # After the check, because it changes the file.
            _begin_write_ahead(connection, path)
            if create:
                create_tables(connection, partitions)
            return check_tables(connection, path, partitions)
    except sqlite3.Error as error:
        raise log_error_of(path, error) from error


def _check_size(path: Path) -> int:
    """Return the file's size in bytes; 0 where a write-ahead file holds the rest of it.

    SQLite takes a file of no byte, or of one, for a new one, and deletes the
    write-ahead file beside it. SQLite itself never leaves such a file: it writes the
    first page whole, and before the write-ahead file.

    Raises:
        DamagedLogError: if a new log would be made over the rest of a damaged one.
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


def _cut_error(path: Path, detail: str) -> DamagedLogError:
    return DamagedLogError(
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
        application = read_value(connection, "PRAGMA application_id")
        tables = read_value(connection, "SELECT count(*) FROM sqlite_master")
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
            mode = read_value(connection, "PRAGMA journal_mode = WAL")
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


def _primary_code(error: sqlite3.Error) -> int:
    # The low byte is the kind of error, the rest is detail. Errors that Python itself
    # raises have no code.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
