"""The turn to commit: the processes that write one file wait for each other in line.

Theory of operation. SQLite lets one process write at a time, and those that find it
taken sleep and try again, for 100 ms in the end: a process that commits without a pause
starves the others. So before a commit a process takes an flock, and waits for it in the
kernel. As the one that has just had it could take it again before a waiter wakes, there
are two: whoever is next in line holds the first while it waits for the second. SQLite's
own lock stays what decides; where no lock file can be made, it alone does.
"""

from __future__ import annotations

import contextlib
import os
import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING

from sayiir_es.log.descriptors import close_descriptor, open_descriptor
from sayiir_es.log.embedded.file_mode import make_file, mode_beside
from sayiir_es.log.posix import fcntl

if TYPE_CHECKING:
    from pathlib import Path


class CommitTurn:
    """The turns of one connection; for one thread at a time."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._fds: tuple[int, int] | None = None
        self._waits: SimpleQueue[Future[None] | None] | None = None

    def take(self, limit_s: float) -> bool:
        """Wait for the turn; False if it did not come within so many seconds."""
        fds = self._open()
        if fds is None or self._take_at_once(fds):
            return True
        taken: Future[None] = Future()
        if self._waits is None:
            self._waits = SimpleQueue()
            threading.Thread(
                target=_wait_in_line,
                args=(fds, self._waits),
                name="sayiir-turns",
                daemon=True,  # it may wait for a process that stands still
            ).start()
        self._waits.put(taken)
        try:
            taken.result(limit_s)
        except TimeoutError:
            if not taken.cancel():
                taken.add_done_callback(lambda _: self.give_back())
            return False
        return True

    def give_back(self) -> None:
        """Let the next one commit."""
        if self._fds is not None:
            fcntl.flock(self._fds[1], fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the lock files."""
        fds, self._fds = self._fds, None
        if self._waits is not None:
            self._waits.put(None)
        elif fds is not None:
            _close(fds)

    def _open(self) -> tuple[int, int] | None:
        if self._fds is None:
            fds: list[int] = []
            try:
                for suffix in (".next", ".commit"):
                    path = self._log.with_name(self._log.name + suffix)
                    make_file(path, mode_beside(self._log))
                    fds.append(_open(path))
            except OSError:
                _close(fds)
                return None
            self._fds = (fds[0], fds[1])
        return self._fds

    def _take_at_once(self, fds: tuple[int, int]) -> bool:
        next_fd, commit_fd = fds
        try:
            fcntl.flock(next_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        try:
            fcntl.flock(commit_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            fcntl.flock(next_fd, fcntl.LOCK_UN)
        return True


def _wait_in_line(
    fds: tuple[int, int], waits: SimpleQueue[Future[None] | None]
) -> None:
    next_fd, commit_fd = fds
    while (taken := waits.get()) is not None:
        if not taken.set_running_or_notify_cancel():
            continue
        with contextlib.suppress(OSError):  # then SQLite's lock alone decides
            fcntl.flock(next_fd, fcntl.LOCK_EX)
            try:
                fcntl.flock(commit_fd, fcntl.LOCK_EX)
            finally:
                fcntl.flock(next_fd, fcntl.LOCK_UN)
        taken.set_result(None)
    _close(fds)


def _open(path: Path) -> int:
    return open_descriptor(lambda: os.open(path, os.O_RDWR | os.O_CLOEXEC))


def _close(fds: list[int] | tuple[int, int]) -> None:
    for fd in fds:
        close_descriptor(fd)
