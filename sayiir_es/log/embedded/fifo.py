"""Wakes between processes that have no connection: named pipes beside the log's file.

Theory of operation. Nothing is ever written to these pipes; only that an end is open
says something, and the kernel closes the ends of a process that dies. A pipe for wakes
has readers who wait: when somebody opens it for writing and closes it again, each of
them finds it hung up, and opens it anew. Nobody can take a wake from another, and a
reader that opened before the writer misses none. A pipe for presence has a reader while
somebody is present: whoever opens it for writing is refused if there is none.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from sayiir_es.log.descriptors import (
    close_descriptor,
    open_descriptor,
    without_fork,
)
from sayiir_es.log.embedded.file_mode import make_fifo, mode_beside

if TYPE_CHECKING:
    from pathlib import Path


class WakeFifo:
    """Wakes the processes that wait at it."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.path = log.with_name(log.name + ".wake")

    def listen(self) -> int:
        """Return a descriptor that a poll finds hung up at the next wake; -1 if none.

        The caller closes it by `close_descriptor`, and listens anew after each wake.
        """
        return _open_reader(self._log, self.path)

    def wake(self) -> None:
        """Wake those who listen."""
        # A child of a fork that kept this end open would keep the wake from all.
        with without_fork(), contextlib.suppress(OSError):  # nobody listens
            os.close(os.open(self.path, _WRITE))


class PresenceFifo:
    """Tells every process whether somebody is present in any of them."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.path = log.with_name(log.name + ".waiting")

    def enter(self) -> int:
        """Be present until `close_descriptor` of what is returned; -1 if it fails."""
        return _open_reader(self._log, self.path)

    def is_anybody_present(self) -> bool:
        """Whether a process is present now, this one included."""
        try:
            with without_fork():
                os.close(os.open(self.path, _WRITE))
        except OSError:
            return False
        return True


_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC


def _open_reader(log: Path, path: Path) -> int:
    try:
        return _open_fifo(log, path)
    except OSError:  # a disk without named pipes, or no right to make one
        return -1


def _open_fifo(log: Path, path: Path) -> int:
    make_fifo(path, mode_beside(log))
    fd = open_descriptor(lambda: os.open(path, _READ))
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        return fd
    close_descriptor(fd)
    return -1
