"""Claiming a partition: fold to the end, claim, fold to the claim.

Theory of operation. Folding comes before the claim, the rest after it, so a partition
is without an owner for one append and a few events. Nothing is decided before the fold
has reached the claim: the old owner may have written until then. A claim that lands
behind another's is fenced before it began.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import FencedError, LogWentBackwardsError
from sayiir_es.core.model.events import PartitionClaimed
from sayiir_es.engine.fold import Fold
from sayiir_es.engine.owner.tenure import Tenure, to_record
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sayiir_es.core.model.events import Event
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import Appender, Log, Reader

FOLD_WAIT_S = 5.0
"""How long a read of records that stand in the log may take before it is repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A tenure, and whether others decided before it.

    `taken_over` is false only where this process made the claim before as well, with no
    other's claim between: then the attempts that it runs go on.
    """

    tenure: Tenure
    taken_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeoverContext:
    """What a new tenure found.

    `taken_over` says that another process decided meanwhile, that this one is new, or
    that its take-over was not finished; `commands_at_claim` is the end of the commands
    at the claim: a signal's time-out waits until they are decided, because one of them
    may be the signal. Delays and waits that are due from `wakes_before` on are left.
    """

    taken_over: bool
    commands_at_claim: int
    wakes_before: int


class Claimer:
    """Claims one partition for one process; `folded` is called between chunks."""

    def __init__(
        self,
        log: Log,
        store: SnapshotStore,
        partition: int,
        *,
        event: Callable[[], Event],
        folded: Callable[[], Awaitable[None]],
    ) -> None:
        self._log = log
        self._store = store
        self._partition = partition
        self._event = event
        self._folded = folded
        self._owners_seen: list[str] = []

    async def claim(self, owner_id: str) -> Claimed:
        """Claim the partition for `owner_id`.

        Raises:
            FencedError: if another claim stands behind this one already.
            LogWentBackwardsError: if the store stands beyond the end of the log.
        """
        position = self._store.position
        mine_before = position.claim >= 0 and position.owner == owner_id
        end = await self._log.end_offset(Topic.EVENTS, self._partition)
        if position.offset > end:
            raise LogWentBackwardsError(
                f"expected events partition {self._partition} to reach offset "
                f"{position.offset}, where the store stands, but it ends at {end}"
            )
        warm = asyncio.create_task(self._log.appender(self._partition))
        reader = await self._log.reader(Topic.EVENTS, self._partition, position.offset)
        try:
            await self._fold(reader, end)
            appender = await warm
            claim = await appender.append([to_record(self._event())])
            await self._fold(reader, claim + 1)
        except BaseException:
            await _discard(warm)
            raise
        finally:
            await reader.close()
        position = self._store.position
        if position.claim != claim:
            await appender.close()
            raise FencedError(
                f"expected claim {claim} of partition {self._partition} to be in "
                f"force, but {position.claim} of {position.owner!r} stands behind it"
            )
        tenure = Tenure(
            log=self._log,
            partition=self._partition,
            appender=appender,
            claim=claim,
            expected=position.offset,
        )
        others = any(owner != owner_id for owner in self._owners_seen)
        return Claimed(
            tenure=tenure,
            taken_over=others or not mine_before,
        )

    async def _fold(self, reader: Reader, upto: int) -> None:
        """Fold at least up to `upto`; whole chunks, always."""
        fold = Fold(self._store, self._partition, on_event=self._saw)
        while self._store.position.offset < upto:
            chunk = await reader.read(max_wait_s=FOLD_WAIT_S)
            if chunk is not None:
                fold.apply(chunk)
                await self._folded()
                # What was read ahead comes without a wait: partitions that are served,
                # and heartbeats, need a turn between two chunks.
                await asyncio.sleep(0)

    def _saw(self, _offset: int, event: Event) -> None:
        if isinstance(event.body, PartitionClaimed):
            self._owners_seen.append(event.body.owner)


async def _discard(warm: asyncio.Task[Appender]) -> None:
    """Close an appender whose claim failed, also one that was still being made."""
    warm.cancel()
    (made,) = await asyncio.gather(warm, return_exceptions=True)
    if not isinstance(made, BaseException):
        await made.close()
