"""Where the Unix socket of a log file is: beside the file, whatever its path's length.

The address of a Unix socket has at most 107 bytes. A longer path is named through an
open descriptor of its folder; a file name that is itself too long has a digest in its
place. Where a system cannot name a folder by a descriptor, the socket of such a path is
in a folder of this user below `/tmp`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sayiir_es.log.descriptors import close_socket, open_socket
from sayiir_es.log.embedded.file_mode import mode_beside

if TYPE_CHECKING:
    from collections.abc import Generator

ADDRESS_BYTES_MAX = 100
"""Below what every system takes, of an address."""

_DESCRIPTORS = Path("/proc/self/fd")

BACKLOG = 128
"""How many connections may wait to be accepted."""


class SocketPlace:
    """The place of the socket of the log at `log`, an absolute path."""

    def __init__(self, log: Path) -> None:
        self._log = log
        name = log.name + ".sock"
        if len(os.fsencode(_DESCRIPTORS / "1000000" / name)) > ADDRESS_BYTES_MAX:
            name = f".{_digest(log.name)}.sock"
        self.path = log.with_name(name)
        self._is_long = len(os.fsencode(self.path)) > ADDRESS_BYTES_MAX
        if self._is_long and not _DESCRIPTORS.is_dir():
            folder = Path("/tmp") / f"sayiir-{os.getuid()}"  # noqa: S108 (checked)
            self.path = folder / f"{_digest(str(log))}.sock"
            self._is_long = False
            self._own_folder: Path | None = folder
        else:
            self._own_folder = None

    def listen(self) -> socket.socket:
        """Listen, in the place of a socket whose process has gone.

        The caller closes it by `close_socket`.

        Only the holder of the owner lock may.

        Raises:
            OSError: there can be no socket.
        """
        if self._own_folder is not None:
            _make_own_folder(self._own_folder)
        self.remove()
        listener = _new_socket()
        try:
            with self._address() as address:
                listener.bind(address)
            self.path.chmod(mode_beside(self._log))  # nobody can connect before listen
            listener.listen(BACKLOG)
        except BaseException:
            close_socket(listener)
            raise
        return listener

    def connect(self) -> tuple[socket.socket | None, bool]:
        """A connection to the process that listens; None if there is none.

        The second value says whether one listens, but too many wait to be accepted.
        """
        connection = _new_socket()
        try:
            with self._address() as address:
                connection.connect(address)
        except BlockingIOError:
            close_socket(connection)
            return None, True
        except OSError:
            close_socket(connection)
            return None, False
        return connection, False

    def remove(self) -> None:
        """Remove the socket's name."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    @contextmanager
    def _address(self) -> Generator[str]:
        if not self._is_long:
            yield str(self.path)
            return
        fd = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield str(_DESCRIPTORS / str(fd) / self.path.name)
        finally:
            os.close(fd)


def _new_socket() -> socket.socket:
    new = open_socket(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    new.setblocking(False)  # noqa: FBT003 (of the library)
    return new


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]


def _make_own_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise OSError(f"expected {str(folder)!r} to be this user's folder")
