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

    def try_acquire(self, *, briefly: bool = False) -> bool:
        """Take the lock if nobody has it; return whether it is ours.

        With `briefly` it is wanted for one call: not taken while a worker waits for it.
        """
        ...

    async def acquire(self, *, briefly: bool = False) -> None:
        """Wait until it is ours."""
        ...

    async def wanted(self, *, briefly: bool = False) -> None:
        """Wait until a worker waits for the lock; with `briefly` a call, too."""
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

    async def join(self, *, briefly: bool = False) -> None:
        """Take the lock if it is free; otherwise wait for it in the background.

        Raises:
            LogUnavailableError: the lock file cannot be used.
        """
        if self._partitions or self._wait_task is not None:
            return
        if self._lock.try_acquire(briefly=briefly):
            self._assign(self._all)
        else:
            self._wait_task = asyncio.create_task(
                self._wait(briefly=briefly), name="owner-lock"
            )

    async def leave(self) -> None:
        """Release the lock; another worker may then own the log at once.

        It is released, too, when the caller is cancelled meanwhile.
        """
        wait_task, self._wait_task = self._wait_task, None
        try:
            if wait_task is not None:
                wait_task.cancel()  # from now on it takes nothing
                await asyncio.wait((wait_task,))
        finally:
            self._lock.release()
            if self._partitions:
                self._assign(frozenset())

    def abandon(self) -> None:
        """Release the lock where the event loop of this membership has been closed."""
        self._lock.release()

    async def wanted(self, *, briefly: bool = False) -> None:
        """Wait until a worker, of any process, waits to own the log.

        Who owns it for its calls only then hands it over. With `briefly` until a call
        waits, too: then it is handed over when no call needs it.
        """
        await self._lock.wanted(briefly=briefly)

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

    def prepare(self, partitions: frozenset[int]) -> None:
        """Nothing to tell: no partition is expected."""

    def release(self, partition: int) -> None:
        """Nothing to tell, as for `hold`."""

    async def _wait(self, *, briefly: bool) -> None:
        await self._lock.acquire(briefly=briefly)
        self._assign(self._all)

    def _assign(self, partitions: frozenset[int]) -> None:
        self._partitions = partitions
        self._epoch += 1
        self._changed_event.set()
        self._changed_event = asyncio.Event()
