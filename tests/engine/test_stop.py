"""A worker that stops: what ended is recorded, and what it abandons is withdrawn."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.authoring.tasks import task
from sayiir_es.core.model.events import AttemptRestarted
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.clock import SystemClock
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import WorkerSettings
from sayiir_es.log.embedded.lock import OwnerLock
from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.log.solo import SoloMembership
from sayiir_es.wire.events import decode_event
from tests.engine.harness import EngineHarness
from tests.engine.test_membership import ManualMembership

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.log.port import Appender, Log, Membership

LIMIT_S = 30.0


@dataclass
class HeldAppender:
    """An appender whose appends wait until the test lets them."""

    inner: Appender
    may_append: asyncio.Event
    waits: asyncio.Event

    async def append(self, batch: Sequence[NewRecord]) -> int:
        """Append behind `may_append`."""
        if not self.may_append.is_set():
            self.waits.set()
            await self.may_append.wait()
        return await self.inner.append(batch)

    async def close(self) -> None:
        """Close the appender."""
        await self.inner.close()


class HeldMemoryLog(MemoryLog):
    """A log in memory whose appends the test can hold back."""

    def __init__(self) -> None:
        super().__init__()
        self.may_append, self.waits = asyncio.Event(), asyncio.Event()

    async def appender(  # type: ignore[override] # no more than the port is used
        self, partition: int
    ) -> Appender:
        """An appender that can be held back."""
        inner = await super().appender(partition)
        return HeldAppender(inner, self.may_append, self.waits)


class HeldEmbeddedLog(EmbeddedLog):
    """A log in a file whose appends the test can hold back."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.may_append, self.waits = asyncio.Event(), asyncio.Event()

    async def appender(  # type: ignore[override] # no more than the port is used
        self, partition: int
    ) -> Appender:
        """An appender that can be held back."""
        inner = await super().appender(partition)
        return HeldAppender(inner, self.may_append, self.waits)


@dataclass
class Gate:
    """A task that runs until the test ends it."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    def flow(self, timeout: str | None = None) -> Workflow:
        """A workflow of that task."""

        @task(timeout=timeout)
        async def wait(value: str) -> str:
            self.begun.set()
            await self.may_end.wait()
            return value

        return Flow("gate").then(wait).build()


def engine_on(log: Log, membership: Membership, store: MemoryStore) -> WorkerEngine:
    """A worker that gives what runs no time when it stops."""

    async def open_store(partition: int) -> MemoryStore:
        assert partition == 0
        return store

    return WorkerEngine(
        ports=Ports(
            log=log,
            clock=SystemClock(),
            executor=LocalExecutor(8, worker_id="w"),
            registry=Registry(),
        ),
        membership=membership,
        open_store=open_store,
        settings=WorkerSettings(
            worker_id="w", incarnation="1", build="test", drain_s=0.0
        ),
    )


async def events_of(log: Log) -> list[str]:
    """The kinds of all events."""
    end = await log.end_offset(Topic.EVENTS, 0)
    reader = await log.reader(Topic.EVENTS, 0, 0)
    kinds: list[str] = []
    while len(kinds) < end:
        chunk = await reader.read(max_wait_s=1)
        assert chunk is not None
        kinds += [decode_event(record.value or b"").kind for record in chunk.records]
    await reader.close()
    return kinds


def started(instance_id: str) -> NewRecord:
    """A command that starts an instance of the gate."""
    value = (
        f'{{"command": "StartWorkflow", "instance_id": "{instance_id}", '
        f'"workflow": "gate", "input": "x"}}'
    )
    return NewRecord(key=instance_id.encode(), value=value.encode())


@pytest.mark.parametrize("kind", ["memory", "embedded", "group"])
async def test_an_outcome_that_came_before_the_end_is_recorded(
    kind: str, tmp_path: Path
) -> None:
    log: HeldMemoryLog | HeldEmbeddedLog
    membership: Membership
    if kind == "embedded":
        log = HeldEmbeddedLog(tmp_path / "log.db")
        await log.open(create=True)
        membership = SoloMembership(OwnerLock(tmp_path / "log.db"))
    else:
        log = HeldMemoryLog()
        await log.open(create=True)
        membership = SoloMembership(log.owner_lock())
    if kind == "group":
        membership = ManualMembership(partitions=frozenset({0}))
    log.may_append.set()
    gate, engine = Gate(), engine_on(log, membership, MemoryStore())
    async with asyncio.timeout(LIMIT_S):
        await engine.start([gate.flow()])
        await log.produce(Topic.COMMANDS, 0, started("i"))
        await gate.begun.wait()
        log.may_append.clear()
        await log.produce(Topic.COMMANDS, 0, started("j"))
        await log.waits.wait()
        gate.may_end.set()
        await asyncio.sleep(0)  # the turn in which the task of `i` ends
        stopping = asyncio.create_task(engine.stop())
        await asyncio.sleep(0)
        log.may_append.set()
        await stopping
    kinds = await events_of(log)
    assert kinds.count("TaskCompleted") == 1
    assert "AttemptWithdrawn" not in kinds
    await log.close()


async def test_what_a_stop_abandons_is_withdrawn_and_runs_again() -> None:
    harness, gate = EngineHarness(), Gate()
    engine = await harness.start_worker(gate.flow())
    await harness.command("StartWorkflow", workflow="gate", input="x")
    async with asyncio.timeout(LIMIT_S):
        await gate.begun.wait()
    await engine.stop(drain=False)
    assert (await harness.kinds())[-1] == "AttemptWithdrawn"
    gate.may_end.set()
    async with harness.worker(gate.flow()):
        assert await harness.output() == "x"


async def test_what_queues_when_a_worker_stops_does_not_begin_there() -> None:
    harness, gate = EngineHarness(), Gate()
    executed: list[str] = []

    async def note(value: str) -> str:
        executed.append(value)
        return value

    flow = Flow("note").then(note).build()
    engine = await harness.start_worker(gate.flow(), flow, slots=1)
    await harness.command("StartWorkflow", workflow="gate", input="x")
    async with asyncio.timeout(LIMIT_S):
        await gate.begun.wait()
    await harness.command("StartWorkflow", "j", workflow="note", input="y")
    await harness.until_kind("PositionUpdated", "j")
    stopping = asyncio.create_task(engine.stop())
    await asyncio.sleep(0)
    gate.may_end.set()
    await stopping
    assert executed == []
    async with harness.worker(gate.flow(), flow):
        assert await harness.output("j") == "y"
    assert executed == ["y"]


async def test_a_thread_that_is_abandoned_by_a_stop_reports_nothing_later() -> None:
    harness = EngineHarness()
    begun, may_end = threading.Event(), threading.Event()

    def slow(value: str) -> str:
        begun.set()
        assert may_end.wait(LIMIT_S)
        return value

    flow = Flow("slow").then(slow).build()
    engine = await harness.start_worker(flow)
    await harness.command("StartWorkflow", workflow="slow", input="x")
    await asyncio.to_thread(begun.wait, LIMIT_S)
    await engine.stop(drain=False)
    may_end.set()
    async with harness.worker(flow):
        assert await harness.output() == "x"
    kinds = await harness.kinds()
    assert kinds.count("TaskCompleted") == 1
    assert "OutcomeRejected" not in kinds


STOPS = 12
"""More than an attempt may be lost."""


@pytest.mark.parametrize("limit", [None, "60s"])
async def test_stops_during_one_long_task_are_no_lost_workers(
    limit: str | None,
) -> None:
    harness, gate = EngineHarness(), Gate()
    flow = gate.flow(limit)
    await harness.log.open(create=True)
    await harness.command("StartWorkflow", workflow="gate", input="x")
    for _ in range(STOPS):
        engine = await harness.start_worker(flow)
        async with asyncio.timeout(LIMIT_S):
            await gate.begun.wait()
        gate.begun.clear()
        await engine.stop(drain=False)
    gate.may_end.set()
    async with harness.worker(flow):
        assert await harness.output() == "x"
    restarts = [
        event.body.restarts
        for event in await harness.events()
        if isinstance(event.body, AttemptRestarted)
    ]
    assert restarts == [0] * STOPS
