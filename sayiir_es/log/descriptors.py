"""Descriptors that are one process's alone: no child of a fork keeps one of them.

Theory of operation. A lock, or a connection, lasts until every process has closed its
descriptor of it. A fork on another thread copies what is open at that moment: one that
was just opened, and is noted nowhere yet, or one that is noted no longer, and about to
be closed. The child would hold it for ever. So for forks each is opened and noted in
one step, and closed and forgotten in one: a fork waits for it. What is noted then is
left to the parent in the child.
"""

from __future__ import annotations

import contextlib
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import WeakSet

from sayiir_es.log.forked_child import sever
from sayiir_es.log.posix import register_at_fork

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Generator

FORK_LIMIT_S = 2.0
"""For so long a fork waits, in seconds: a disk that stands still must not stop it."""


@contextmanager
def without_fork() -> Generator[None]:
    """Let no other thread fork while inside: for a few calls that do not wait."""
    lock = _forking  # a fork inside, on this thread, makes another one for the child
    with lock:
        yield


def open_descriptor(open_one: Callable[[], int]) -> int:
    """A new descriptor; `close_descriptor` closes it.

    Raises:
        OSError: as `open_one`.
    """
    with without_fork():
        fd = open_one()
        _open.add(fd)
        return fd


def close_descriptor(fd: int) -> None:
    """Close what `open_descriptor` opened."""
    with without_fork():
        _open.discard(fd)
        os.close(fd)


def open_socket(open_one: Callable[[], socket.socket]) -> socket.socket:
    """A new socket; `close_socket` closes it.

    Raises:
        OSError: as `open_one`.
    """
    with without_fork():
        new = open_one()
        _sockets.add(new)
        return new


def close_socket(one: socket.socket) -> None:
    """Close what `open_socket` opened."""
    with without_fork():
        one.close()


_open: set[int] = set()
_sockets: WeakSet[socket.socket] = WeakSet()
_forking = threading.RLock()
"""Held while a descriptor is opened or closed, and during a fork."""


def _begin_fork() -> None:
    _forking.acquire(timeout=FORK_LIMIT_S)


def _end_fork() -> None:
    with contextlib.suppress(RuntimeError):  # it was not got in time
        _forking.release()


def _leave_all() -> None:
    global _forking  # noqa: PLW0603 (that of the parent may be held for ever)
    _forking = threading.RLock()
    sever(_open)
    sever([one.fileno() for one in _sockets])
    _open.clear()


register_at_fork(before=_begin_fork, after_in_parent=_end_fork)
register_at_fork(after_in_child=_leave_all)
