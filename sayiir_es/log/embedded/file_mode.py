"""Who may use the files of an embedded log: by default its owner only.

The log's file is made with the mode that is asked for. All that is made beside it later
has the bits of that file, as SQLite's own files have. So a file whose mode somebody
changed by hand stays usable by whom it was opened to.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PRIVATE = 0o600
"""Only the user who made the file."""

MODES = {"owner": PRIVATE, "group": 0o660, "all": 0o666}
"""By whom a new log may be used."""

_READ_WRITE = 0o666


def make_file(path: Path, mode: int) -> None:
    """Make an empty file of this mode, if there is none and the disk lets it.

    It is never open here under its name: to close it would drop the locks that SQLite
    holds on it in this process.

    Raises:
        OSError: it cannot be made.
    """
    _make(path, mode, _make_empty)


def make_fifo(path: Path, mode: int) -> None:
    """Make a named pipe of this mode, if there is none.

    Raises:
        OSError: it cannot be made.
    """
    _make(path, mode, lambda new: os.mkfifo(new, PRIVATE))


def _make(path: Path, mode: int, make: Callable[[Path], None]) -> None:
    """Let it appear at its name with its mode, whatever the process's mask says."""
    if path.exists():
        return
    new = path.with_name(f".{secrets.token_hex(8)}.new")
    make(new)
    try:
        new.chmod(mode)
        # Another process was first; or the disk knows no links, and no modes either.
        with contextlib.suppress(OSError):
            os.link(new, path)
    finally:
        new.unlink()


def _make_empty(new: Path) -> None:
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))


def mode_beside(path: Path) -> int:
    """The mode of what is made beside the log at `path`: its bits of read and write.

    Where there is no such file yet it is `PRIVATE`.
    """
    try:
        return stat.S_IMODE(path.stat().st_mode) & _READ_WRITE
    except OSError:
        return PRIVATE


def folder_mode(mode: int) -> int:
    """The mode of a folder for files of this mode: who may read may search."""
    return mode | (mode & 0o444) >> 2
