"""Decides on what calls wait for where the owner of a local log has gone.

Theory of operation. A call that waits for the decision of another process is counted.
As long as there is one it is looked now and then whether an owner hears its partition;
one look serves all calls. Where none does, this process owns the log until no call of
the partition waits.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

UNHEARD_LOOK_S = 0.05
"""How often, in seconds, it is looked whether the owner has gone."""


class UnheardCalls:
    """The calls of one session that wait for a decision, by partition."""

    def __init__(
        self,
        is_heard: Callable[[int], bool],
        own: Callable[[], AbstractAsyncContextManager[object]],
    ) -> None:
        """`is_heard` says whether an owner hears a partition; `own` owns the log."""
        self._is_heard = is_heard
        self._own = own
        self._calls: Counter[int] = Counter()
        self._looks: dict[int, asyncio.TimerHandle] = {}
        self._owning: dict[int, asyncio.Task[None]] = {}

    def begin(self, partition: int) -> None:
        """A call waits for a decision of a partition; `end` it."""
        self._calls[partition] += 1
        owning = self._owning.get(partition)
        if partition not in self._looks and (owning is None or owning.done()):
            self._look_later(partition)

    async def end(self, partition: int) -> None:
        """A call waits no longer; the last one gives the log back."""
        self._calls[partition] -= 1
        if self._calls[partition]:
            return
        del self._calls[partition]
        look = self._looks.pop(partition, None)
        if look is not None:
            look.cancel()
        owning = self._owning.pop(partition, None)
        if owning is not None:
            owning.cancel()
            await asyncio.gather(owning, return_exceptions=True)

    def _look_later(self, partition: int) -> None:
        self._looks[partition] = asyncio.get_running_loop().call_later(
            UNHEARD_LOOK_S, self._look, partition
        )

    def _look(self, partition: int) -> None:
        if self._is_heard(partition):
            self._look_later(partition)
            return
        del self._looks[partition]
        self._owning[partition] = asyncio.create_task(
            self._decide(), name=f"unheard-{partition}"
        )

    async def _decide(self) -> None:
        async with self._own():
            await asyncio.Event().wait()
