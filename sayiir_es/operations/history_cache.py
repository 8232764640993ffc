"""Histories that were read before: only what has come since is read from the log.

Theory of operation. On Kafka the history of an instance is found by reading its
partition: from about when it was started, as its owner says, to its last event. A page
that is open asks for it again with every event, so what was read is kept, with the
offset up to which. What is kept is bounded; the instance that was looked at longest ago
goes first. Nothing here is the truth: without it all is read anew.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sayiir_es.audit.history import History
from sayiir_es.client.projection import partition_of_instance
from sayiir_es.core.model.errors import NotFoundError
from sayiir_es.engine.valid_events import READ_WAIT_S, EventFilter, ValidEvents
from sayiir_es.log.port import InstanceIndex, TimeIndex, Topic

if TYPE_CHECKING:
    from sayiir_es.client.session import Session
    from sayiir_es.core.status.status import Status
    from sayiir_es.engine.valid_events import FoundEvent
    from sayiir_es.log.port import Log

INSTANCES_MAX = 100
EVENTS_MAX = 200_000
"""Of all that are kept: some hundred megabytes of ordinary events."""

INDEX_BEHIND = 2_000
"""With an index, more records than these since then cost more than to read anew; and of
a time index, than to ask for a place in it."""

CLOCKS_DIFFER_MS = 60_000
"""By so much the clocks of those who wrote may have differed."""


@dataclass(slots=True, eq=False)
class _Kept:
    events: list[FoundEvent] = field(default_factory=list["FoundEvent"])
    next_offset: int = 0
    reading: ValidEvents | None = None
    end: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class HistoryCache:
    """The histories that one process has read last, of one log."""

    def __init__(
        self, *, instances_max: int = INSTANCES_MAX, events_max: int = EVENTS_MAX
    ) -> None:
        self._instances_max = instances_max
        self._events_max = events_max
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._reading: dict[str, asyncio.Task[History]] = {}

    async def read(self, session: Session, instance_id: str) -> History:
        """The history of an instance up to now.

        Raises:
            NotFoundError: if there is no event of it.
            LogUnavailableError: if nothing answers.
        """
        await session.open()
        kept = self._kept.setdefault(instance_id, _Kept())
        self._kept.move_to_end(instance_id)
        async with kept.lock:
            try:
                await _read_on(session, instance_id, kept)
            except BaseException:
                self._kept.pop(instance_id, None)
                raise
        if not kept.events:
            self._kept.pop(instance_id, None)
            raise NotFoundError(
                f"expected an instance {instance_id!r}, but there is none"
            )
        self._forget_the_oldest(instance_id)
        await session.definitions.refresh()
        graphs = {graph.digest: graph for graph in session.registry.graphs()}
        return History(
            instance_id=instance_id, events=tuple(kept.events), graphs=graphs
        )

    async def read_within(
        self, session: Session, instance_id: str, limit_s: float
    ) -> History | None:
        """As `read`; None where it takes longer: a later call has what was read."""
        task = self._reading.get(instance_id)
        if task is None:
            task = asyncio.create_task(self.read(session, instance_id))
            self._reading[instance_id] = task
            task.add_done_callback(lambda _: self._reading.pop(instance_id, None))
        await asyncio.wait((task,), timeout=limit_s)
        return task.result() if task.done() else None

    def progress(self, instance_id: str) -> tuple[int, int]:
        """Up to which record of how many a partition is read; zeros before it begins.

        Of an instance whose history `read_within` has not read to the end.
        """
        kept = self._kept.get(instance_id)
        if kept is None or kept.reading is None:
            return 0, 0
        return min(kept.reading.next_offset, kept.end), kept.end

    def _forget_the_oldest(self, newest: str) -> None:
        count = sum(len(kept.events) for kept in self._kept.values())
        for instance_id in tuple(self._kept):
            if instance_id == newest:
                return
            if len(self._kept) <= self._instances_max and count <= self._events_max:
                return
            count -= len(self._kept.pop(instance_id).events)


async def _read_on(session: Session, instance_id: str, kept: _Kept) -> None:
    log = session.log
    home = partition_of_instance(log, instance_id)
    end = await log.end_offset(Topic.EVENTS, home)
    behind = end - kept.next_offset
    is_indexed = isinstance(log, InstanceIndex) and behind > INDEX_BEHIND
    if behind < 0 or (is_indexed and kept.next_offset):
        kept.events, kept.next_offset = [], 0  # of another log, or quicker so
    if isinstance(log, TimeIndex) and behind > INDEX_BEHIND:
        status = await session.find_status(instance_id)
        if status is not None:
            await _read_span(session, home, status, kept, end)
            return
    kept.events += await _read(log, home, instance_id, kept, end)


async def _read_span(
    session: Session, home: int, status: Status, kept: _Kept, end: int
) -> None:
    """Read on from about when an instance was started to the last event that is known.

    Clocks differ: what is found is the whole history where it begins with the first
    event of the instance; else the partition is read from its begin.
    """
    log, instance_id = session.log, status.instance_id
    assert isinstance(log, TimeIndex)
    if kept.events and kept.events[-1].event.sequence >= status.sequence:
        return  # nothing has come since
    if not kept.events:
        begin_ms = status.started_at - CLOCKS_DIFFER_MS
        kept.next_offset = await log.offset_at(Topic.EVENTS, home, begin_ms)
    found = await _read(log, home, instance_id, kept, end, last=status.sequence)
    if not kept.events and (not found or found[0].event.sequence != 1):
        kept.next_offset = 0
        found = await _read(log, home, instance_id, kept, end, last=status.sequence)
    kept.events += found


async def _read(
    log: Log,
    home: int,
    instance_id: str,
    kept: _Kept,
    end: int,
    *,
    last: int | None = None,
) -> list[FoundEvent]:
    """The events from where `kept` ends; up to the one of that sequence, if any."""
    events = ValidEvents(
        log, home, kept.next_offset, EventFilter(instance_id=instance_id)
    )
    found: list[FoundEvent] = []
    kept.reading, kept.end = events, end
    try:
        if last is None:
            found = [entry async for entry in events.until_end()]
        while last is not None and events.next_offset < end:
            found += await events.read(max_wait_s=READ_WAIT_S)
            if found and found[-1].event.sequence >= last:
                break
    finally:
        kept.reading = None
        await events.close()
    kept.next_offset = events.next_offset
    return found
