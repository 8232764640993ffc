"""A harness for the engine: a memory log, workers on it, and readers of its events.

After each test the rows of every live store must equal the fold of the log's valid
events.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sayiir_es.core.model.rows import get_run, get_value
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.clock import SystemClock
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.fold import Fold
from sayiir_es.engine.meter import NO_METER
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import (
    FORK_READ_LIMIT_S,
    QUEUED_ATTEMPTS_MAX,
    TURN_UNITS,
    WorkerSettings,
)
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.log.solo import SoloMembership
from sayiir_es.wire.events import decode_event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from sayiir_es.core.authoring.flow import Workflow
    from sayiir_es.core.model.events import Event
    from sayiir_es.engine.clock import Clock
    from sayiir_es.engine.meter import Meter
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.port import Record
    from sayiir_es.wire.signing import Signer

LIMIT_S = 30.0


@dataclass
class EngineHarness:
    """A memory log and its workers; what is read is of partition 0."""

    log: MemoryLog = field(default_factory=MemoryLog)
    workers: int = 0
    signer: Signer | None = None
    snapshots: bool = False
    propagate_interrupts: bool = False
    queued_attempts_max: int = QUEUED_ATTEMPTS_MAX
    turn_units: int = TURN_UNITS
    fork_read_s: float = FORK_READ_LIMIT_S
    lease_ms: int = 10_000
    tags: frozenset[str] | None = None
    new_store: Callable[[], MemoryStore] = MemoryStore
    clock: Clock = field(default_factory=SystemClock)
    meter: Meter = NO_METER
    executors: list[LocalExecutor] = field(default_factory=list[LocalExecutor])

    @asynccontextmanager
    async def worker(
        self, *workflows: Workflow, slots: int = 8
    ) -> AsyncGenerator[WorkerEngine]:
        """A worker with these workflows; stopped without draining at the end."""
        engine = await self.start_worker(*workflows, slots=slots)
        try:
            yield engine
        finally:
            owner = engine.owners.get(0)
            if owner is not None:
                await self.check(owner.store)
            await engine.stop(drain=False)

    async def start_worker(self, *workflows: Workflow, slots: int = 8) -> WorkerEngine:
        """Start a worker, and wait until it serves."""
        self.workers += 1
        name = f"w{self.workers}"
        clock = self.clock
        executor = LocalExecutor(
            slots,
            worker_id=name,
            propagate_interrupts=self.propagate_interrupts,
            meter=self.meter,
        )
        self.executors.append(executor)
        store = self.new_store()

        async def open_store(partition: int) -> SnapshotStore:
            return store if partition == 0 else MemoryStore()

        engine = WorkerEngine(
            ports=Ports(
                log=self.log,
                clock=clock,
                executor=executor,
                registry=Registry(tags=self.tags),
                meter=self.meter,
            ),
            membership=SoloMembership(
                self.log.owner_lock(), partitions=self.log.partitions
            ),
            open_store=open_store,
            settings=WorkerSettings(
                worker_id=name,
                incarnation=name,
                build="test",
                cancel_grace_s=0.05,
                signer=self.signer,
                snapshots=self.snapshots,
                queued_attempts_max=self.queued_attempts_max,
                turn_units=self.turn_units,
                fork_read_s=self.fork_read_s,
                lease_ms=self.lease_ms,
            ),
        )
        await self.log.open(create=True)
        await engine.start(workflows)
        async with asyncio.timeout(LIMIT_S):
            await engine.wait_until_settled()
        return engine

    async def command(self, name: str, instance_id: str = "i", **fields: object) -> int:
        """Produce a command as JSON; returns its offset."""
        body = {"command": name, "instance_id": instance_id, **fields}
        record = NewRecord(key=instance_id.encode(), value=json.dumps(body).encode())
        return await self.log.produce(Topic.COMMANDS, 0, record)

    async def records(self, topic: Topic = Topic.EVENTS) -> list[Record]:
        """Every record of a topic."""
        end = await self.log.end_offset(topic, 0)
        reader = await self.log.reader(topic, 0, 0)
        records: list[Record] = []
        while len(records) < end:
            chunk = await reader.read(max_wait_s=1)
            assert chunk is not None
            records += chunk.records
        await reader.close()
        return records

    async def events(self, instance_id: str | None = "i") -> list[Event]:
        """The valid events of an instance (None: of the partition)."""
        events: list[Event] = []
        store = MemoryStore()
        key = instance_id or ""

        def take(_offset: int, event: Event) -> None:
            if event.instance_id == key:
                events.append(event)

        fold = Fold(store, 0, self.log.partitions, on_event=take)
        await self.fold_all(fold)
        return events

    async def kinds(self, instance_id: str = "i") -> list[str]:
        """The kinds of an instance's valid events."""
        return [event.kind for event in await self.events(instance_id)]

    async def until(
        self, condition: Callable[[list[Event]], bool], instance_id: str = "i"
    ) -> list[Event]:
        """Wait until the events of an instance satisfy a condition."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                events = await self.events(instance_id)
                if condition(events):
                    return events
                await self._wait_for_record()

    async def until_kind(
        self, kind: str, instance_id: str = "i", *, count: int = 1
    ) -> list[Event]:
        """Wait until there are `count` events of a kind."""
        return await self.until(
            lambda events: sum(event.kind == kind for event in events) >= count,
            instance_id,
        )

    async def output(self, instance_id: str = "i") -> object:
        """Wait for the end of a run and return its output."""
        await self.until(
            lambda events: any(
                event.kind in ("WorkflowCompleted", "WorkflowFailed")
                for event in events
            ),
            instance_id,
        )
        store = await self.folded()
        data = get_value(store.rows(instance_id), "output")
        return None if data is None else json.loads(data)

    async def folded(self) -> MemoryStore:
        """A store folded from the log only."""
        store = MemoryStore()
        await self.fold_all(Fold(store, 0, self.log.partitions))
        return store

    async def check(self, live: SnapshotStore) -> None:
        """Check that the live rows equal the fold of the log up to their position."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                store = await self.folded()
                if store.position == live.position:
                    break
                await asyncio.sleep(0.001)
        for instance_id in store.instances():
            folded_rows, live_rows = store.rows(instance_id), live.rows(instance_id)
            keys = sorted(folded_rows.keys(""))
            assert keys == sorted(live_rows.keys(""))
            for key in keys:
                assert folded_rows.get(key) == live_rows.get(key), key

    async def copy_of_first(self, records: int) -> EngineHarness:
        """Another harness, whose log has only the first `records` events."""
        copy = EngineHarness()
        await copy.log.open(create=True)
        appender = await copy.log.appender(0)
        for record in (await self.records())[:records]:
            await appender.append([copy_of(record)])
        for topic in (Topic.COMMANDS, Topic.DEFINITIONS):
            for record in await self.records(topic):
                await copy.log.produce(topic, 0, copy_of(record))
        return copy

    async def fold_all(self, fold: Fold) -> None:
        """Give a fold all events of partition 0."""
        end = await self.log.end_offset(Topic.EVENTS, 0)
        reader = await self.log.reader(Topic.EVENTS, 0, 0)
        next_offset = 0
        while next_offset < end:
            chunk = await reader.read(max_wait_s=1)
            assert chunk is not None
            fold.apply(chunk)
            next_offset = chunk.end
        await reader.close()

    async def _wait_for_record(self) -> None:
        end = await self.log.end_offset(Topic.EVENTS, 0)
        reader = await self.log.reader(Topic.EVENTS, 0, end)
        await reader.read(max_wait_s=0.2)
        await reader.close()


def copy_of(record: Record) -> NewRecord:
    """The same record, to be written again."""
    return NewRecord(key=record.key, value=record.value, headers=record.headers)


def started_runs(store: SnapshotStore) -> list[str]:
    """The instances that have a run."""
    return [name for name in store.instances() if get_run(store.rows(name)) is not None]


def event_of(record: Record) -> Event:
    """The event of a record."""
    return decode_event(record.value or b"")
