"""The owner lock of a log in one file: held by one process, released by the system.

It is an flock on a file beside the log. The kernel releases it when the process ends,
however it ends, so nothing is left to clean up. The file is never deleted: another
process may be about to lock it.

Theory of operation. Who waits for the lock is connected to its holder (module `hub`):
the end of that connection wakes it, and then it tries. A worker that waits is present
at a named pipe beside the log; a candidate that wants the lock for one call only does
not try while a worker is. So a worker has it next, however many calls there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path

from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.log.descriptors import close_descriptor, open_descriptor
from sayiir_es.log.embedded.fifo import PresenceFifo
from sayiir_es.log.embedded.file_mode import make_file, mode_beside
from sayiir_es.log.embedded.hub import OWNER, WANTED, hub_of
from sayiir_es.log.embedded.peer import CALL, WORKER
from sayiir_es.log.posix import fcntl

FIRST_RETRY_S = 0.001
RETRY_S = 0.02
"""How soon, and how often at most, the lock is tried while its holder has no socket: it
begins, or it has just been killed, and the kernel has not released the lock yet. A try
costs 10 µs."""

SHARE_S = 0.2
"""For so long a call waits before the owner hears that it does, in seconds."""

PATIENCE_S = 1.0
"""For so long without any owner a candidate for one call lets a worker go first; one
that has not taken the lock by then has been stopped."""


class OwnerLock:
    """One candidate for owning the log at `path`; the first one to ask holds it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        log = Path(path).resolve()
        self.path = log.with_name(log.name + ".owner")
        self._log = log
        self._hub = hub_of(log)
        self._workers = PresenceFifo(log)
        self._fd = -1

    def try_acquire(self, *, briefly: bool = False) -> bool:
        """Take the lock if nobody has it; return whether it is ours.

        With `briefly` it is wanted for one call: not taken while a worker waits for it.

        Raises:
            LogUnavailableError: the lock file cannot be used.
        """
        if self._fd >= 0:
            return True
        if briefly and self._workers.is_anybody_present():
            return False
        fd = -1
        try:
            fd = self._open()
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if fd >= 0:
                close_descriptor(fd)
            if isinstance(error, BlockingIOError):
                return False
            raise LogUnavailableError(
                f"expected a lock file beside the log, but {error}"
            ) from error
        self._fd = fd
        self._hub.begin_owning()
        return True

    async def acquire(self, *, briefly: bool = False) -> None:
        """Wait until it is ours."""
        if briefly:
            await self._acquire_briefly()
            return
        fd = self._workers.enter()
        self._hub.begin_waiting(WORKER)
        try:
            await self._wait(briefly=False)
        finally:
            self._hub.end_waiting(WORKER)
            if fd >= 0:
                close_descriptor(fd)

    async def _acquire_briefly(self) -> None:
        self._hub.use()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SHARE_S):
                    await self._wait(briefly=True)
            if self._fd < 0:
                self._hub.begin_waiting(CALL)
                try:
                    await self._wait(briefly=True)
                finally:
                    self._hub.end_waiting(CALL)
        finally:
            self._hub.end_use()

    async def wanted(self, *, briefly: bool = False) -> None:
        """Wait until a worker, of this process or another one, waits for the lock.

        With `briefly` until a call does, too, and has done so for `SHARE_S`.
        """
        while True:
            waiter = self._hub.ownership.waiter(WANTED)
            try:
                if self._hub.wanted_by >= (CALL if briefly else WORKER):
                    return
                await waiter
            finally:
                self._hub.ownership.forget(waiter)

    def release(self) -> None:
        """Release the lock if it is ours."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            try:
                self._hub.end_owning()
            finally:
                close_descriptor(fd)
                self._hub.owner_has_gone()

    async def _wait(self, *, briefly: bool) -> None:
        retry_s, ownerless_since_s = FIRST_RETRY_S, time.monotonic()
        while True:
            waiter = self._hub.ownership.waiter(OWNER)
            try:
                yields = briefly and time.monotonic() < ownerless_since_s + PATIENCE_S
                # A lock file that cannot be used now (no descriptor is left) may be
                # later.
                with contextlib.suppress(LogUnavailableError):
                    if self.try_acquire(briefly=yields):
                        return
                if self._hub.sees_owner:
                    await waiter
                    retry_s, ownerless_since_s = FIRST_RETRY_S, time.monotonic()
                else:
                    await asyncio.wait((waiter,), timeout=retry_s)
                    retry_s = min(2 * retry_s, RETRY_S)
            finally:
                self._hub.ownership.forget(waiter)

    def _open(self) -> int:
        mode = mode_beside(self._log)
        make_file(self.path, mode)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        return open_descriptor(lambda: os.open(self.path, flags, mode))
