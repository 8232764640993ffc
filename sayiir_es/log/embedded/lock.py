"""The owner lock of a log in one file: held by one process, released by the system.

It is an flock on a file beside the log. The kernel releases it when the process ends,
however it ends, so nothing is left to clean up. The file is never deleted: another
process may be about to lock it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import weakref
from pathlib import Path

from sayiir_es.core.model.errors import LogUnavailableError

POLL_S = 0.05
"""How often a lock of another process is tried: a process that ends wakes nobody.

A take-over after `kill -9` takes this long; a try costs 10 µs."""


class OwnerLock:
    """One candidate for owning the log at `path`; the first one to ask holds it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        log = Path(path)
        self.path = log.with_name(log.name + ".owner")
        self._fd = -1
        _candidates.add(self)

    def try_acquire(self) -> bool:
        """Take the lock if nobody has it; return whether it is ours.

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

    async def acquire(self) -> None:
        """Wait until it is ours; tries every `POLL_S` seconds."""
        while True:
            # A lock file that cannot be used now (no descriptor is left) may be later.
            with contextlib.suppress(LogUnavailableError):
                if self.try_acquire():
                    return
            await asyncio.sleep(POLL_S)

    def release(self) -> None:
        """Release the lock if it is ours."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


_candidates: weakref.WeakSet[OwnerLock] = weakref.WeakSet()


def _release_in_child() -> None:
    """Release in a forked child: it would still hold the lock after its parent died."""
    for lock in list(_candidates):
        lock.release()


os.register_at_fork(after_in_child=_release_in_child)
