"""Watches one projector: from tasks on its event loop, for readers on any thread.

Theory of operation. As the monitor of a worker it replaces values, so that a reader
needs neither a lock nor a turn of the loop. A projector is *ready* while each of its
partitions follows the log: it has folded what there was when it began, and goes on. A
partition that has stopped, or whose fold stands still with events before it, is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import LogError
from sayiir_es.engine.store.port import StoreOnDisk
from sayiir_es.log.port import Topic
from sayiir_es.operations.metrics import catalogue
from sayiir_es.operations.metrics.series import Numbers
from sayiir_es.operations.worker_health import (
    STUCK_S,
    Health,
    Problem,
    judge_life,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sayiir_es.engine.projector import Projector
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import Log
    from sayiir_es.operations.metrics.series import Series

PULSE_S = 0.25
"""How often the loop is expected to turn, in seconds."""

LOOK_EVERY_S = 5.0
"""How often the ends of the log are asked for, in seconds, and stores are looked at."""

ENDS_LIMIT_S = 5.0
"""How long the log may take to tell an end; else the last one stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedPartition:
    """One partition as it was seen last.

    Attributes:
        lag: How many records of the log are not folded; None before it is known.
        standing_s: For how long nothing was folded although something was there.
        problem: Why it has stopped; empty while it goes on.
        store_bytes: Of its store on disk; None where that is not known.
    """

    partition: int
    has_caught_up: bool
    lag: int | None
    standing_s: float
    problem: str
    store_bytes: int | None


class ProjectorMonitor:
    """Notes what one projector does.

    Attributes:
        turned_at_s: When its loop turned last, by the monotonic clock.
        seen: Its partitions, as they were seen last; empty before it has begun.
    """

    def __init__(self) -> None:
        self.turned_at_s = time.monotonic()
        self.seen: tuple[FoldedPartition, ...] = ()
        self._moved: dict[int, tuple[int, float]] = {}
        """How far each partition was folded, and since when it is that far."""
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """Watch the running loop, on which a projector is about to start."""
        self._tasks.append(asyncio.create_task(self._pulse(), name="monitor-pulse"))

    def watch(self, projector: Projector, log: Log) -> None:
        """From now on note how far this projector is."""
        look = self._look_again_and_again(projector, log)
        self._tasks.append(asyncio.create_task(look, name="monitor-ends"))

    async def close(self) -> None:
        """Watch no longer."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pulse(self) -> None:
        while True:
            self.turned_at_s = time.monotonic()
            await asyncio.sleep(PULSE_S)

    async def _look_again_and_again(self, projector: Projector, log: Log) -> None:
        while True:
            self.seen = tuple(
                [
                    await self._look(projector, log, partition)
                    for partition in projector.partitions
                ]
            )
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(
        self, projector: Projector, log: Log, partition: int
    ) -> FoldedPartition:
        store = projector.stores.get(partition)
        lag, standing_s = None, 0.0
        store_bytes: int | None = None
        if store is not None:
            with contextlib.suppress(LogError, TimeoutError):
                lag, standing_s = await self._measure_lag(store, log, partition)
            if isinstance(store, StoreOnDisk):
                store_bytes = await asyncio.to_thread(store.disk_bytes)
        return FoldedPartition(
            partition=partition,
            has_caught_up=projector.has_caught_up(partition),
            lag=lag,
            standing_s=standing_s,
            problem=projector.stopped.get(partition, ""),
            store_bytes=store_bytes,
        )

    async def _measure_lag(
        self, store: SnapshotStore, log: Log, partition: int
    ) -> tuple[int, float]:
        async with asyncio.timeout(ENDS_LIMIT_S):
            end = await log.end_offset(Topic.EVENTS, partition)
        now_s, offset = time.monotonic(), store.position.offset
        last = self._moved.get(partition)
        if last is None or last[0] != offset or offset >= end:
            last = self._moved[partition] = (offset, now_s)
        return max(0, end - offset), now_s - last[1]

    # --- what is said of it; any thread may ask ---------------------------------------

    def live(self) -> Health:
        """Whether its event loop turns."""
        return judge_life(self.turned_at_s, time.monotonic())

    async def ready(self) -> Health:
        """Whether each partition follows the log."""
        return self.judge_readiness(time.monotonic())

    def judge_readiness(self, now_s: float) -> Health:
        """Whether each partition follows the log, at a monotonic time."""
        problems = [*judge_life(self.turned_at_s, now_s).problems]
        if not self.seen:
            problems.insert(
                0, Problem(code="starting", message="it has opened no store yet")
            )
        problems += filter(None, map(_problem_of, self.seen))
        bad = {one.partition for one in problems}
        return Health(
            problems=tuple(problems),
            assigned=tuple(one.partition for one in self.seen),
            served=tuple(o.partition for o in self.seen if o.partition not in bad),
        )

    def series(self, build: str) -> Iterator[Series]:
        """Its metrics: those of a worker's that a projector has, too.

        Its instances are the same as those of workers, which count them.
        """
        now_s, seen = time.monotonic(), self.seen
        is_ready = self.judge_readiness(now_s).is_good
        yield Numbers(metric=catalogue.READY, values={(): is_ready})
        yield Numbers(metric=catalogue.BUILD_INFO, values={(build,): 1})
        yield Numbers(
            metric=catalogue.LOOP_AGE_SECONDS, values={(): now_s - self.turned_at_s}
        )
        yield Numbers(
            metric=catalogue.FOLD_LAG,
            values={(str(o.partition),): o.lag for o in seen if o.lag is not None},
        )
        yield Numbers(
            metric=catalogue.STORE_BYTES,
            values={
                (str(one.partition),): one.store_bytes
                for one in seen
                if one.store_bytes is not None
            },
        )


def _problem_of(one: FoldedPartition) -> Problem | None:
    """Why a partition does not follow the log, if it does not."""
    code, message = "", one.problem
    if one.problem:
        code = "stopped"
    elif one.standing_s > STUCK_S:
        code = "stalled"
        message = (
            f"{one.lag} events wait, and none was folded for {one.standing_s:.0f} s"
        )
    elif not one.has_caught_up:
        code = "not_served"
        message = "its events are folded"
        if one.lag is not None:
            message += f": {one.lag} are left"
    return (
        Problem(code=code, message=message, partition=one.partition) if code else None
    )
