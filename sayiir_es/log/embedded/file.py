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
from difflib import get_close_matches
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import (
    AppNotFoundError,
    DamagedLogError,
    LogUnavailableError,
    UnsafeLogError,
)
from sayiir_es.log.embedded.checksum import ADVICE
from sayiir_es.log.embedded.file_mode import folder_mode, make_file
from sayiir_es.log.embedded.network_disk import unsafe_disk
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

SHOWN_MAX = 5
"""How many files a sentence names."""

_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_NOT_WRITABLE = frozenset(
    {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}
)
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


def busy_error(path: Path) -> LogUnavailableError:
    """Return the error of a log that others kept locked: nothing was written."""
    return LogUnavailableError(
        f"expected to use {str(path)!r} within {BUSY_LIMIT_S:g} s, but another process "
        "kept it locked"
    )


def log_error_of(path: Path, error: sqlite3.Error) -> WorkflowError:
    """Return the error of ours that an error of SQLite means for the log at `path`."""
    if is_lock(error):
        return busy_error(path)
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
        f"expected to use {str(path)!r}, but SQLite says: {error}{_advice(path, error)}"
    )


def _advice(path: Path, error: sqlite3.Error) -> str:
    """What to do about a file or a folder that this process may not write."""
    if _primary_code(error) not in _NOT_WRITABLE:
        return ""
    folder = path.parent
    try:
        owner = (path if path.exists() else folder).stat().st_uid
    except OSError as reason:
        return f" ({reason})"
    if owner != os.getuid():
        return (
            f"; it is user {owner}'s, and this is user {os.getuid()}: run as that "
            "user, or open the log to others, a new one by SAYIIR_FILE_ACCESS=group "
            "or all, one that exists by chmod of the file and its folder"
        )
    if not os.access(folder, os.W_OK):
        return (
            f"; {str(folder)!r} cannot be written, which clients need too: choose a "
            "place on a disk that is not read-only"
        )
    return ""


def connect(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """Connect, with every commit durable; for one thread at a time.

    Raises:
        sqlite3.Error: there is no file and `create` is false, or it cannot be used now.
    """
    mode = "rwc" if create else "rw"
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_LIMIT_S,
        isolation_level=None,
        check_same_thread=False,  # a fork closes it; never used by two at a time
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # on macOS fsync is not enough
    except UnicodeDecodeError as error:  # Python cannot read what SQLite says of it
        raise damage_error("malformed database schema") from error
    return connection


ANY_DISK_VARIABLE = "SAYIIR_FILE_ON_ANY_DISK"


def open_file(
    path: Path, *, create: bool, partitions: int, mode: int, on_any_disk: bool
) -> OpenedFile:
    """Make the file if there is none and `create`; check it and say what it holds.

    A new file has the permission bits `mode`, and its folder, if that is new, those
    that go with it. With `on_any_disk` the disk is not looked at.

    Raises:
        AppNotFoundError: there is none, and none may be made.
        LogUnavailableError: it cannot be used now.
        UnsafeLogError: it is not a log of ours, of another format, of another
            partition count, or on a disk where SQLite is not safe.
        DamagedLogError: it is damaged.
    """
    kind = None if on_any_disk else unsafe_disk(path)
    if kind is not None:
        raise UnsafeLogError(
            f"expected {str(path)!r} on a disk of this machine, but it is on {kind!r}: "
            "choose a local path, or Kafka for several machines; if that disk locks, "
            "shares memory and syncs as a local one does, and only this machine uses "
            f"the file, set {ANY_DISK_VARIABLE}=true"
        )
    size = _check_size(path)
    _make_folder(path, create=create, mode=folder_mode(mode))
    try:
        if create:
            _make_empty(path, mode)
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
    # By their names: to open and close the file would drop this process's locks. The
    # write-ahead file first: others may be making both just now, in the other order.
    try:
        ahead_size = _size_of(path.with_name(f"{path.name}-wal"))
        size = path.stat().st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise LogUnavailableError(f"expected a log, but {error}") from error
    if 0 < size < _HEADER_BYTES:
        raise _cut_error(path, f"{size} bytes")
    if size == 0 < ahead_size:
        raise _cut_error(path, f"0 bytes beside a write-ahead file of {ahead_size}")
    return 0 if ahead_size else size


def _size_of(path: Path) -> int:
    """The size of a file in bytes; 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _cut_error(path: Path, detail: str) -> DamagedLogError:
    return DamagedLogError(
        f"expected a whole log in {str(path)!r}, but {detail}; restore it from a copy, "
        "or move it away to begin anew"
    )


def _make_empty(path: Path, mode: int) -> None:
    try:
        make_file(path, mode)
    except OSError as error:
        raise LogUnavailableError(
            f"expected to make {str(path)!r}, but {error}"
        ) from error


def _make_folder(path: Path, *, create: bool, mode: int) -> None:
    if path.exists():
        return
    if not create:
        raise AppNotFoundError(
            f"expected a log in {str(path)!r}, but there is no such file; "
            + _similar_files(path)
        )
    try:
        new_folders = [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent in new_folders:
            path.parent.chmod(mode)
        # The name of a new folder is durable when the folder that lists it is synced.
        for folder in new_folders:
            _sync_folder(folder.parent)
    except OSError as error:
        raise LogUnavailableError(
            f"expected a folder for {str(path)!r}, but {error}"
        ) from error


def _similar_files(path: Path) -> str:
    """A clause that names the logs in the same folder, by their names alone.

    None is opened: to close it again would drop the locks of this process.
    """
    try:
        names = sorted(
            one.name for one in path.parent.iterdir() if one.suffix == path.suffix
        )
    except OSError:
        names = []
    alike = get_close_matches(path.name, names, SHOWN_MAX, 0.5) or names[:SHOWN_MAX]
    if alike:
        return f"in that folder are: {', '.join(map(repr, alike))}"
    return (
        "the first worker (`sayiir-es worker run MODULE`) or the first start makes one"
    )


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
