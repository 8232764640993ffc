"""The partitions that a worker cannot serve: it gives them up, and announces why.

Theory of operation. A partition that has stopped here, or whose store cannot be used,
is refused: membership asks the group to assign it to a worker that does not refuse it.
If all do, it is assigned to any of them, and stands still visibly. A trouble that may
pass is tried again after a wait that grows, wherever the partition is then; where it
has passed, the refusal is lifted, and the group may assign the partition here again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import LogError
from sayiir_es.engine.backoff import Backoff
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sayiir_es.engine.clock import Clock
    from sayiir_es.engine.definitions.capabilities import Refusal
    from sayiir_es.log.port import Membership

logger = get_logger(__name__)

RETRY_MOST_S = 30.0
"""The longest wait, in seconds, before a partition that is refused is tried again: a
disk that has room again serves after it."""

CALM_S = 60.0
"""A partition that was in use for so many seconds without a failure counts as sound
again: the next failure is tried again at once, without giving the partition up."""


class Refusals:
    """What one worker refuses, each with the reason.

    Attributes:
        by_partition: What is refused now.
        membership: Tells the group.
        useless: Set while everything that was assigned to this worker is refused for a
            trouble of its own machine.
    """

    def __init__(self, membership: Membership, clock: Clock, name: str) -> None:
        self.by_partition: Mapping[int, Refusal] = {}
        self.useless = asyncio.Event()
        self.membership = membership
        self._clock = clock
        self._name = name
        self._changed = asyncio.Event()
        self._backoffs: dict[int, Backoff] = {}
        self._failed_at_s: dict[int, float] = {}
        self._refused_at_s: dict[int, float] = {}

    def fail(self, partition: int, refusal: Refusal) -> None:
        """Note a failure while the partition was in use; refuse it if it is repeated.

        A single one may pass by itself: a damaged store is replaced by an empty one.
        """
        now_s = self._clock.monotonic_s()
        last_s = self._failed_at_s.get(partition)
        self._failed_at_s[partition] = now_s
        if last_s is None or now_s - last_s > CALM_S:
            self._backoffs.pop(partition, None)
        else:
            self.refuse(partition, refusal)

    def refuse(self, partition: int, refusal: Refusal) -> None:
        """Give a partition up, and announce why."""
        if self.by_partition.get(partition) == refusal:
            return
        logger.warning(
            "partition.refused",
            partition=partition,
            error_code=refusal.code,
            reason=refusal.reason,
        )
        self._refused_at_s.setdefault(partition, self._clock.monotonic_s())
        self._become({**self.by_partition, partition: refusal})

    def age_s(self, partition: int) -> float:
        """For how many seconds a partition has been refused."""
        return self._clock.monotonic_s() - self._refused_at_s[partition]

    def lift(self, partition: int) -> None:
        """Take the partition again if the group assigns it."""
        if partition in self.by_partition:
            logger.info("partition.refusal_lifted", partition=partition)
            del self._refused_at_s[partition]
            self._become(
                {p: one for p, one in self.by_partition.items() if p != partition}
            )

    async def pause(self, partition: int) -> None:
        """Wait until a partition that failed is to be tried again."""
        backoff = self._backoffs.get(partition)
        if backoff is None:
            name = f"{self._name}/{partition}"
            backoff = self._backoffs[partition] = Backoff(name, most_s=RETRY_MOST_S)
        await backoff.pause()

    async def announce_changes(self, announce: Callable[[], Awaitable[None]]) -> None:
        """Call `announce` behind each change, for ever; again if the log refuses."""
        backoff = Backoff(self._name)
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await announce()
            except LogError as error:
                logger.warning(
                    "worker.announcement_failed",
                    error_code=error.code,
                    reason=str(error),
                )
                self._changed.set()
                await backoff.pause()
            else:
                backoff.reset()

    def _become(self, by_partition: Mapping[int, Refusal]) -> None:
        self.by_partition = by_partition
        self.membership.refuse(frozenset(by_partition))
        assigned = self.membership.current().partitions
        own = {p for p, refusal in by_partition.items() if refusal.is_own}
        if own and own >= {*assigned, *by_partition}:
            self.useless.set()
        else:
            self.useless.clear()
        self._changed.set()
