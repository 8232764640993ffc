"""The owner lock of a log in one file: held by one process, freed by the system.

It is an flock on a file beside the log. The kernel lets it go when the process ends,
however it ends, so nothing is ever left to be cleaned up. The file is never deleted:
another process may be about to lock it.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path

from sayiir_es.core.model.errors import LogUnavailableError


class OwnerLock:
    """One candidate for owning the log at `path`; the first one to come holds it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        log = Path(path)
        self.path = log.with_name(log.name + ".owner")
        self._fd = -1
        _candidates.add(self)

    def try_acquire(self) -> bool:
        """Say whether it is ours, after taking it if nobody had it.

        Raises:
            LogUnavailableError: the lock file cannot be used.
        """
        if self._fd >= 0:
            return True
        fd = -1
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if fd >= 0:
                os.close(fd)
            if isinstance(error, BlockingIOError):
                return False
            raise LogUnavailableError(
                f"expected a lock file beside the log, but {error}"
            ) from error
        self._fd = fd
        return True

    def release(self) -> None:
        """Give it back if it is ours."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


_candidates: weakref.WeakSet[OwnerLock] = weakref.WeakSet()


def _let_go_in_child() -> None:
    """A forked child shares the lock and would hold it when its parent has died."""
    for lock in list(_candidates):
        lock.release()


os.register_at_fork(after_in_child=_let_go_in_child)
