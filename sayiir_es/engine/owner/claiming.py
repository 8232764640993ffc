"""Claiming a partition: fold to the end, claim, fold to the claim.

Theory of operation. Most is folded before the claim, the rest after it. So a partition
has no owner for the time of one append and a few events. Where the owner before still
serves, the log goes on while it is folded: the fold follows until it is near the end,
however much that was at first. Nothing is decided before the
fold has reached the claim: the old owner may have written until then. If another claim
follows at once, this one is fenced before it began.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import FencedError
from sayiir_es.core.model.events import PartitionClaimed
from sayiir_es.engine.fold import Fold, check_end
from sayiir_es.engine.owner.tenure import Tenure, to_record
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sayiir_es.core.model.events import Event
    from sayiir_es.engine.selected_instances import SelectedInstances
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import Appender, Log, Reader

FOLD_WAIT_S = 5.0
"""How long a read of records that are in the log may take, in seconds, before it is
repeated."""


NEAR_EVENTS = 500
"""So few events may be left to fold behind the claim: some 10 ms."""

ROUNDS_MAX = 10
"""How often the log's end is looked at before the claim. Each round folds what was
written during the round before, so a few are enough, unless the owner writes about as
fast as this process folds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimResult:
    """A tenure, and whether another process may have decided before it.

    `taken_over` is false only if the claim before was made by this process too, with no
    other claim in between: then the attempts that it runs go on.
    """

    tenure: Tenure
    taken_over: bool
    commands_start: int
    """The first offset of the commands topic that the log had before the claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeoverContext:
    """What a new tenure starts from.

    Attributes:
        commands_at_claim: The end offset of the commands at the claim. A signal's
            time-out waits until they are decided: one of them may be the signal.
        selected: The instances that are gone on with; None: all.
    """

    commands_at_claim: int
    selected: SelectedInstances | None = None


class Claimer:
    """Claims one partition for one process.

    `event` makes the event of the claim; `folded` is called after each folded chunk;
    `check` with the first kept command, before the claim: its error ends it.
    """

    def __init__(
        self,
        log: Log,
        store: SnapshotStore,
        partition: int,
        *,
        event: Callable[[], Event],
        folded: Callable[[], Awaitable[None]],
        check: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        self._check = check
        self._log = log
        self._store = store
        self._partition = partition
        self._event = event
        self._folded = folded
        self._claimants: list[str] = []

    async def claim(self, owner_id: str) -> ClaimResult:
        """Claim the partition for `owner_id`.

        Raises:
            FencedError: if another claim follows this one already.
            LogWentBackwardsError: if the store is ahead of the log.
            StoreError: if the store was not folded from this log.
            HistoryError: if the events cannot be folded.
            CommandsLostError: if `check` says so; then nothing was claimed.
            LogError: if the log does not answer.
        """
        position = self._store.position
        was_own_claim = position.claim >= 0 and position.owner == owner_id
        end = await self._log.end_offset(Topic.EVENTS, self._partition)
        check_end(position, self._partition, end)
        fold = Fold(
            self._store,
            self._partition,
            self._log.partitions,
            on_event=self._note_claimant,
        )
        opening = asyncio.create_task(self._log.appender(self._partition))
        reader = await self._log.reader(Topic.EVENTS, self._partition, fold.start)
        try:
            await self._fold_near_end(fold, reader, end)
            commands_start = await self._check_commands(fold, reader)
            appender = await opening
            claim = await appender.append([to_record(self._event())])
            await self._fold(fold, reader, claim + 1)
        except BaseException:
            await _discard(opening)
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
            next_offset=position.offset,
        )
        was_claimed_by_others = any(owner != owner_id for owner in self._claimants)
        return ClaimResult(
            tenure=tenure,
            taken_over=was_claimed_by_others or not was_own_claim,
            commands_start=commands_start,
        )

    async def _check_commands(self, fold: Fold, reader: Reader) -> int:
        """Return the first kept command, if who claims may go on from there."""
        start = await self._log.start_offset(Topic.COMMANDS, self._partition)
        if self._check is None or start <= self._store.position.next_command:
            return start
        # The owner before may have decided them: what it wrote is folded first.
        end = await self._log.end_offset(Topic.EVENTS, self._partition)
        await self._fold(fold, reader, end)
        await self._check(start)
        return start

    async def _fold_near_end(self, fold: Fold, reader: Reader, end: int) -> None:
        """Fold until few events are left, or an owner that writes as fast keeps ahead.

        What is left is folded behind the claim, while nobody decides.
        """
        for _ in range(ROUNDS_MAX):
            await self._fold(fold, reader, end)
            end = await self._log.end_offset(Topic.EVENTS, self._partition)
            if end - self._store.position.offset <= NEAR_EVENTS:
                return

    async def _fold(self, fold: Fold, reader: Reader, upto: int) -> None:
        """Fold at least up to the offset `upto`; always whole chunks."""
        while self._store.position.offset < upto or not fold.is_confirmed:
            chunk = await reader.read(max_wait_s=FOLD_WAIT_S)
            if chunk is not None:
                # Chunks that were read ahead come without a wait: other partitions and
                # heartbeats need a turn in between, and within a large one.
                for _ in fold.portions(chunk):
                    await self._folded()
                    await asyncio.sleep(0)
                await self._folded()
                await asyncio.sleep(0)

    def _note_claimant(self, _offset: int, event: Event) -> None:
        if isinstance(event.body, PartitionClaimed):
            self._claimants.append(event.body.owner)


async def _discard(opening: asyncio.Task[Appender]) -> None:
    """Close an appender whose claim failed, even if it is not open yet."""
    opening.cancel()
    (appender,) = await asyncio.gather(opening, return_exceptions=True)
    if not isinstance(appender, BaseException):
        await appender.close()
