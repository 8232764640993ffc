"""Membership of a log that one worker owns whole: in memory, or in one file.

All partitions are this worker's as long as it holds the owner lock of the log. There is
no group and no session: to hold the lock is the confirmation, so an assignment is
always fresh at the moment at which it is read, and nothing ever lapses.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from sayiir_es.log.port import Assignment

_NEVER_S = float("-inf")


class Lock(Protocol):
    """The owner lock of a log: at most one membership holds it at a time."""

    def try_acquire(self) -> bool:
        """Take the lock if nobody has it; return whether it is ours."""
        ...

    async def acquire(self) -> None:
        """Wait until it is ours."""
        ...

    def release(self) -> None:
        """Release the lock if it is ours."""
        ...


class SoloMembership:
    """One worker as the owner of all; see `log.port.Membership`."""

    exclusive = True

    def __init__(self, lock: Lock, *, partitions: int = 1) -> None:
        """Hold nothing yet; `partitions` is how many the log has."""
        self._lock = lock
        self._all = frozenset(range(partitions))
        self._partitions: frozenset[int] = frozenset()
        self._owner_id = ""
        self._epoch = 0
        self._changed_event = asyncio.Event()
        self._wait_task: asyncio.Task[None] | None = None

    async def join(self) -> None:
        """Take the lock if it is free; otherwise wait for it in the background.

        Raises:
            LogUnavailableError: the lock file cannot be used.
        """
        if self._partitions or self._wait_task is not None:
            return
        if self._lock.try_acquire():
            self._assign(self._all)
        else:
            self._wait_task = asyncio.create_task(self._wait(), name="owner-lock")

    async def leave(self) -> None:
        """Release the lock; another worker may then own the log at once."""
        wait_task, self._wait_task = self._wait_task, None
        if wait_task is not None:
            wait_task.cancel()
            await asyncio.gather(wait_task, return_exceptions=True)
        self._lock.release()
        if self._partitions:
            self._assign(frozenset())

    def refuse(self, partitions: frozenset[int]) -> None:
        """Change nothing: nobody else can take them while this worker has the lock."""

    def current(self) -> Assignment:
        """Return the assignment of this moment."""
        now_s = asyncio.get_running_loop().time()
        return Assignment(
            partitions=self._partitions,
            epoch=self._epoch,
            fresh_at_s=now_s if self._partitions else _NEVER_S,
            lapses=0,
        )

    async def changed(self, since_epoch: int) -> Assignment:
        """Wait until `partitions` differ from those at `since_epoch`."""
        while self._epoch == since_epoch:
            await self._changed_event.wait()
        return self.current()

    def introduce(self, owner_id: str) -> None:
        """Note the name by which this process claims."""
        self._owner_id = owner_id

    def living(self) -> frozenset[str] | None:
        """This process alone, once it holds the lock: others only wait for it."""
        return frozenset({self._owner_id}) if self._partitions else None

    def hold(self, partition: int) -> None:
        """Nothing to tell: nobody else can own anything before `leave`."""

    def release(self, partition: int) -> None:
        """Nothing to tell, as for `hold`."""

    async def _wait(self) -> None:
        await self._lock.acquire()
        self._assign(self._all)

    def _assign(self, partitions: frozenset[int]) -> None:
        self._partitions = partitions
        self._epoch += 1
        self._changed_event.set()
        self._changed_event = asyncio.Event()
