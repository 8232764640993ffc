"""Membership of a log that one worker owns whole: in memory, or in one file.

All partitions are this worker's as long as it holds the owner lock. There is no group
and no session: holding the lock is the confirmation, so an assignment is always as
fresh as the moment at which it is asked for, and nothing ever lapses.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol

from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.log.embedded.lock import OwnerLock
from sayiir_es.log.port import Assignment

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable

    from sayiir_es.log.memory.log import MemoryLog

POLL_S = 0.05
"""How often a lock that another process holds is tried: no process tells when it goes.

A take-over after `kill -9` takes this long; a try costs 10 µs."""

_NEVER_S = float("-inf")


class Lock(Protocol):
    """What at most one membership holds at a time."""

    def try_acquire(self) -> bool:
        """Say whether it is ours, after taking it if nobody had it."""
        ...

    def release(self) -> None:
        """Give it back if it is ours."""
        ...


class SoloMembership:
    """One worker as the owner of all; see `log.port.Membership`."""

    exclusive = True

    def __init__(
        self, lock: Lock, acquire: Callable[[], Awaitable[None]], *, partitions: int
    ) -> None:
        """Hold nothing yet; `acquire` waits until the lock is ours."""
        self._lock = lock
        self._acquire = acquire
        self._all = frozenset(range(partitions))
        self._held: frozenset[int] = frozenset()
        self._epoch = 0
        self._change = asyncio.Event()
        self._waiting: asyncio.Task[None] | None = None

    @classmethod
    def for_memory(cls, log: MemoryLog) -> SoloMembership:
        """All partitions of a log in memory."""
        lock = log.owner_lock()
        return cls(lock, lock.acquire, partitions=log.partitions)

    @classmethod
    def for_file(
        cls, path: str | os.PathLike[str], *, partitions: int = 1
    ) -> SoloMembership:
        """All partitions of the log in the file at `path`."""
        lock = OwnerLock(path)

        async def acquire() -> None:
            while True:
                # It was usable a moment ago: out of descriptors, say; it will be again.
                with contextlib.suppress(LogUnavailableError):
                    if lock.try_acquire():
                        return
                await asyncio.sleep(POLL_S)

        return cls(lock, acquire, partitions=partitions)

    async def join(self) -> None:
        """Take the lock if it is free; else go on trying, until `leave`.

        Raises:
            LogUnavailableError: the lock file cannot be used.
        """
        if self._held or self._waiting is not None:
            return
        if self._lock.try_acquire():
            self._become(self._all)
        else:
            self._waiting = asyncio.create_task(self._wait(), name="owner-lock")

    async def leave(self) -> None:
        """Give the lock back; another worker may then own the log at once."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        self._lock.release()
        if self._held:
            self._become(frozenset())

    def current(self) -> Assignment:
        """The assignment as it is now."""
        now_s = asyncio.get_running_loop().time()
        return Assignment(
            partitions=self._held,
            epoch=self._epoch,
            fresh_at_s=now_s if self._held else _NEVER_S,
            lapses=0,
        )

    async def changed(self, since_epoch: int) -> Assignment:
        """Wait until `partitions` differ from those at `since_epoch`."""
        while self._epoch == since_epoch:
            await self._change.wait()
        return self.current()

    async def _wait(self) -> None:
        await self._acquire()
        self._become(self._all)

    def _become(self, partitions: frozenset[int]) -> None:
        self._held = partitions
        self._epoch += 1
        self._change.set()
        self._change = asyncio.Event()
