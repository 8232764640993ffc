"""Watches one worker: from tasks on its event loop, for readers on any thread.

Theory of operation. A task on the worker's loop notes several times a second that the
loop turns, and how late; once a second what the worker does. Others ask the log, every
few seconds, how far its ends are, and count instances while somebody reads metrics.
What they note are values that replace the last ones, so that whoever reads them needs
neither a lock nor a turn of that loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import LogError, StoreError
from sayiir_es.core.status.search import STRANDED, Search
from sayiir_es.core.status.waits import BY_OWNER, kind_of
from sayiir_es.engine.clock import SystemClock
from sayiir_es.engine.requests.searching import Searched, count
from sayiir_es.engine.store.port import StoreOnDisk
from sayiir_es.log.port import Topic
from sayiir_es.operations.metrics.recorder import Recorder
from sayiir_es.operations.worker_health import Sighting

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sayiir_es.engine.meter import Meter
    from sayiir_es.engine.owner.owner import Owner
    from sayiir_es.engine.worker import WorkerEngine
    from sayiir_es.engine.worker_state import WorkerState
    from sayiir_es.log.port import Log

PULSE_S = 0.25
"""How often the loop is expected to turn, in seconds."""

PULSES_PER_LOOK = 4
"""After so many pulses it is noted what the worker does."""

ENDS_EVERY_S = 5.0
"""How often the ends of the log are asked for, in seconds."""

ENDS_LIMIT_S = 5.0
"""How long the log may take to tell them; else the last ones stand."""

CENSUS_EVERY_S = 60.0
"""How often instances are counted at most, in seconds."""

CENSUS_SHARE = 50
"""A count is at least so many times as long ago as it took: two percent of a core."""

SCRAPED_LATELY_S = 300.0
"""Nothing is counted for readers that have not come for so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """How far the log is ahead of the owner of a partition, in records."""

    commands: int
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Instances by status, those that are stranded, and bytes of stores.

    `lacking` are attempts that are due and that nobody runs, by the kind of what lacks.
    """

    by_status: Mapping[str, int]
    stranded: int
    lacking: Mapping[str, int]
    store_bytes: Mapping[int, int]


class WorkerMonitor:
    """Notes what one worker does: an observer of it, and the meter of its engine.

    Attributes:
        worker_id: Its name; set when it starts.
        recorder: What its engine tells.
        turned_at_s: When its loop turned last, by the monotonic clock.
        seen: What it did when it was looked at last.
        ends: How far the log is ahead, by partition, as was last asked.
        census: The last count of instances; None before the first.
    """

    def __init__(self) -> None:
        self.worker_id = ""
        self.recorder = Recorder(SystemClock())
        self.turned_at_s = time.monotonic()
        self.seen = Sighting(at_s=self.turned_at_s)
        self.ends: Mapping[int, Ends] = {}
        self.census: Census | None = None
        self.scraped_at_s = float("-inf")
        """When metrics were read last; whoever reads them notes it."""
        self._moved: dict[int, tuple[int, float]] = {}
        """The next command of each partition, and since when it is that."""
        self._tasks: list[asyncio.Task[None]] = []
        self._engine: WorkerEngine | None = None

    @property
    def meter(self) -> Meter:
        """What the engine tells of its work."""
        return self.recorder

    async def begin(self, worker_id: str) -> None:
        """Watch the running loop, on which a worker is about to start."""
        self.worker_id = worker_id
        self.turned_at_s = time.monotonic()
        self.seen = Sighting(at_s=self.turned_at_s)
        self._tasks.append(asyncio.create_task(self._pulse(), name="monitor-pulse"))

    def watch(self, engine: WorkerEngine, log: Log) -> None:
        """From now on note what this engine does."""
        self._engine = engine
        self.look()
        for name, work in (
            ("monitor-ends", self._ask_ends(engine, log)),
            ("monitor-census", self._count(engine)),
        ):
            self._tasks.append(asyncio.create_task(work, name=name))

    async def close(self) -> None:
        """Watch no longer."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- the loop and what the worker does --------------------------------------------

    async def _pulse(self) -> None:
        number = 0
        while True:
            due_s = time.monotonic() + PULSE_S
            await asyncio.sleep(PULSE_S)
            self.turned_at_s = time.monotonic()
            lag_s = max(0.0, self.turned_at_s - due_s)
            self.recorder.loop_lag_s.observe(lag_s)
            number += 1
            if number % PULSES_PER_LOOK == 0 or lag_s > PULSE_S:
                self.look()

    def look(self) -> None:
        """Note what the worker does now; on its loop."""
        now_s = time.monotonic()
        state = None if self._engine is None else self._engine.observe()
        stuck_s = {} if state is None else self._stuck_s(state, now_s)
        self.seen = Sighting(at_s=now_s, state=state, stuck_s=stuck_s)

    def _stuck_s(self, state: WorkerState, now_s: float) -> dict[int, float]:
        """For how long no command was decided of those partitions where some wait."""
        moved, stuck_s = dict[int, tuple[int, float]](), dict[int, float]()
        for one in state.partitions:
            if one.owner is None or one.phase != "serving":
                continue
            following = one.owner.next_command
            ends = self.ends.get(one.partition)
            last = self._moved.get(one.partition)
            is_behind = ends is not None and ends.commands > 0
            if last is None or last[0] != following or not is_behind:
                last = (following, now_s)
            moved[one.partition] = last
            if is_behind:
                stuck_s[one.partition] = now_s - last[1]
        self._moved = moved
        return stuck_s

    # --- the ends of the log ----------------------------------------------------------

    async def _ask_ends(self, engine: WorkerEngine, log: Log) -> None:
        while True:
            ends = dict[int, Ends]()
            for partition, owner in engine.owners.items():
                ends[partition] = await self._ends_of(partition, owner, log)
            self.ends = {p: one for p, one in ends.items() if p in engine.owners}
            await asyncio.sleep(ENDS_EVERY_S)

    async def _ends_of(self, partition: int, owner: Owner, log: Log) -> Ends:
        """How far the log is ahead of an owner; as before, where it does not answer."""
        try:
            async with asyncio.timeout(ENDS_LIMIT_S):
                commands = await log.end_offset(Topic.COMMANDS, partition)
                events = await log.end_offset(Topic.EVENTS, partition)
        except (LogError, TimeoutError):
            return self.ends.get(partition, Ends(commands=0, events=0))
        position = owner.store.position
        return Ends(
            commands=max(0, commands - position.next_command),
            events=max(0, events - position.offset),
        )

    # --- what there is ----------------------------------------------------------------

    async def _count(self, engine: WorkerEngine) -> None:
        """Count instances now and then, while somebody reads metrics."""
        next_s = 0.0
        while True:
            await asyncio.sleep(PULSE_S)
            now_s = time.monotonic()
            if now_s < next_s or now_s - self.scraped_at_s > SCRAPED_LATELY_S:
                continue
            with contextlib.suppress(StoreError):  # its supervisor has more to say
                self.census = await self._take_census(engine)
            took_s = time.monotonic() - now_s
            next_s = time.monotonic() + max(CENSUS_EVERY_S, CENSUS_SHARE * took_s)

    async def _take_census(self, engine: WorkerEngine) -> Census:
        by_status, stranded = dict[str, int](), 0
        lacking = dict.fromkeys(sorted(BY_OWNER), 0)
        sizes: dict[int, Callable[[], Awaitable[int]]] = {}
        search = Search(statuses=(STRANDED,))
        for partition, owner in engine.owners.items():
            store = owner.store
            if isinstance(store, StoreOnDisk):
                sizes[partition] = _in_thread(store)
            searched = Searched(
                store=store,
                stranding=engine.registry.stranding(),
                now_ms=SystemClock().now_ms(),
            )
            counts = await count(searched, Search(), "status")
            for status, number in counts.items():
                by_status[status] = by_status.get(status, 0) + number
            stranded += (await count(searched, search, "all")).total()
            running = Search(statuses=("in_progress",))
            waited = await count(searched, running, "waiting_for")
            for name, number in waited.items():
                if kind_of(name) in lacking:
                    lacking[kind_of(name)] += number
        return Census(
            by_status=by_status,
            stranded=stranded,
            lacking=lacking,
            store_bytes={p: await size() for p, size in sizes.items()},
        )


def _in_thread(store: StoreOnDisk) -> Callable[[], Awaitable[int]]:
    """A sick disk must hold up a thread, not the loop."""
    return lambda: asyncio.to_thread(store.disk_bytes)
