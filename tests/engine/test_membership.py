"""Partitions that the group assigns and revokes while a worker is busy with them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.model.errors import StoreError
from sayiir_es.core.model.events import Event, PartitionClaimed
from sayiir_es.engine import partition_supervisor
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.clock import SystemClock
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.owner.tenure import to_record
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import WorkerSettings
from sayiir_es.log.memory.log import MemoryLog, MemoryReader
from sayiir_es.log.port import Assignment, Topic
from tests.captured_logs import capture_logs
from tests.engine.harness import EngineHarness

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    import pytest

    from sayiir_es.core.authoring.workflow import Workflow

LIMIT_S = 30.0


async def step(value: str) -> str:
    return value


FLOW = Flow("short").then(step).build()


@dataclass
class ManualMembership:
    """A membership whose assignment the test sets."""

    exclusive: bool = False
    partitions: frozenset[int] = frozenset()
    epoch: int = 0
    change: asyncio.Event = field(default_factory=asyncio.Event)
    held: set[int] = field(default_factory=set[int])
    released: asyncio.Event = field(default_factory=asyncio.Event)
    expected: frozenset[int] = frozenset()
    folded: frozenset[int] = frozenset()
    has_refused: asyncio.Event = field(default_factory=asyncio.Event)
    has_lifted: asyncio.Event = field(default_factory=asyncio.Event)
    prepared: asyncio.Event = field(default_factory=asyncio.Event)

    def assign(self, *partitions: int, expected: frozenset[int] = frozenset()) -> None:
        """Assign these partitions from now on, and no others."""
        self.partitions, self.expected = frozenset(partitions), expected
        self.epoch += 1
        self.change.set()
        self.change = asyncio.Event()

    async def join(self, *, briefly: bool = False) -> None:
        """Nothing to do: the test assigns."""

    async def leave(self) -> None:
        """Give all back."""
        self.assign()

    def refuse(self, partitions: frozenset[int]) -> None:
        """Note it: the assignment is the test's."""
        (self.has_refused if partitions else self.has_lifted).set()

    def current(self) -> Assignment:
        """The last assignment."""
        now_s = asyncio.get_running_loop().time()
        return Assignment(
            partitions=self.partitions,
            epoch=self.epoch,
            fresh_at_s=now_s,
            lapses=0,
            expected=self.expected,
        )

    async def changed(self, since_epoch: int) -> Assignment:
        """Wait for the next assignment."""
        if self.epoch <= since_epoch:
            await self.change.wait()
        return self.current()

    def introduce(self, owner_id: str) -> None:
        """Nothing to note: who lives is not told."""

    def living(self) -> frozenset[str] | None:
        """Not known."""
        return None

    def hold(self, partition: int) -> None:
        """Note what is held."""
        self.held.add(partition)
        self.released.clear()

    def prepare(self, partitions: frozenset[int]) -> None:
        """Note what is folded."""
        self.folded = partitions
        if partitions:
            self.prepared.set()

    def release(self, partition: int) -> None:
        """Note what is released."""
        self.held.discard(partition)
        self.released.set()


class SlowStore(MemoryStore):
    """A store that closes when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = asyncio.Event()
        self.may_close = asyncio.Event()

    async def close(self) -> None:
        """Wait for `may_close`, and close."""
        self.closing.set()
        await self.may_close.wait()
        await super().close()


class SlowLog(MemoryLog):
    """A log that tells the end of its events when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.end_asked_for = asyncio.Event()
        self.may_read = asyncio.Event()

    async def end_offset(self, topic: Topic, partition: int) -> int:
        """The end of the partition; that of events after `may_read`."""
        if topic is Topic.EVENTS:
            self.end_asked_for.set()
            await self.may_read.wait()
        return await super().end_offset(topic, partition)


@dataclass
class Gate:
    """Tasks that run until the test ends them."""

    executed: list[str] = field(default_factory=list[str])
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)

    def flow(self) -> Workflow:
        """Two such tasks, one after the other."""

        def task(name: str) -> Callable[[str], Awaitable[str]]:
            async def run(value: str) -> str:
                self.executed.append(f"{name} {value}")
                self.begun.set()
                await self.may_end.wait()
                return value

            run.__name__ = name
            return run

        return Flow("gate").then(task("first")).then(task("second")).build()


@asynccontextmanager
async def worker(
    log: MemoryLog,
    membership: ManualMembership,
    store: MemoryStore,
    *,
    flow: Workflow = FLOW,
    handover_s: float = 30.0,
) -> AsyncGenerator[WorkerEngine]:
    """A worker of one partition, stopped at the end."""

    async def open_store(partition: int) -> MemoryStore:
        assert partition == 0
        if getattr(store, "is_broken", False):
            raise StoreError("expected a disk, but there is none")
        return store

    clock = SystemClock()
    engine = WorkerEngine(
        ports=Ports(
            log=log,
            clock=clock,
            executor=LocalExecutor(8, worker_id="w"),
            registry=Registry(),
        ),
        membership=membership,
        open_store=open_store,
        settings=WorkerSettings(
            worker_id="w", incarnation="1", build="test", handover_s=handover_s
        ),
    )
    await log.open(create=True)
    await engine.start([flow])
    try:
        yield engine
    finally:
        await engine.stop(drain=False)


async def claim(log: MemoryLog) -> None:
    """Another process claims the partition."""
    body = PartitionClaimed(owner="heir/1", build="test", next_command=0)
    appender = await log.appender(0)
    event = Event(
        claim=-1, instance_id="", run=0, sequence=0, at=0, cause="", body=body
    )
    await appender.append([to_record(event)])
    await appender.close()


async def test_what_is_taken_is_served_until_the_next_claim_however_idle_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(partition_supervisor, "IDLE_S", 0.0)
    monkeypatch.setattr(partition_supervisor, "SERVE_MOST_S", 0.0)
    membership, store, harness = ManualMembership(), SlowStore(), EngineHarness()
    store.may_close.set()
    async with (
        asyncio.timeout(LIMIT_S),
        worker(harness.log, membership, store) as engine,
    ):
        membership.assign(0)
        await harness.command("StartWorkflow", "before", workflow="short", input="x")
        assert await harness.output("before") == "x"
        membership.assign()
        await membership.released.wait()
        for number in range(3):  # the next owner folds all the while
            name = f"i{number}"
            await asyncio.sleep(partition_supervisor.LOOK_S)
            await harness.command("StartWorkflow", name, workflow="short", input="x")
            await harness.until_kind("WorkflowStarted", name)
        assert not store.closing.is_set()
        await claim(harness.log)
        await store.closing.wait()
        assert engine.stopped == {}


async def test_an_expected_partition_is_folded_before_it_is_assigned() -> None:
    harness = EngineHarness()
    async with harness.worker(FLOW):
        await harness.command("StartWorkflow", "before", workflow="short", input="x")
        assert await harness.output("before") == "x"
        membership, store = ManualMembership(), SlowStore()
        store.may_close.set()
        async with (
            asyncio.timeout(LIMIT_S),
            worker(harness.log, membership, store) as engine,
        ):
            membership.assign(expected=frozenset({0}))
            await membership.prepared.wait()
            store.closing.clear()
            end = await harness.log.end_offset(Topic.EVENTS, 0)
            assert store.position.offset == end
            await harness.command("StartWorkflow", "more", workflow="short", input="y")
            assert await harness.output("more") == "y"
            assert not store.closing.is_set()
            membership.assign(0)
            await engine.wait_until_settled()
            assert store.closing.is_set()  # its owner opened it again
            assert membership.folded == frozenset()
            assert engine.owners[0].store is store


async def test_what_is_expected_is_folded_when_its_store_is_not_in_use() -> None:
    membership, store, harness = ManualMembership(), SlowStore(), EngineHarness()
    async with (
        asyncio.timeout(LIMIT_S),
        worker(harness.log, membership, store) as engine,
    ):
        membership.assign(0)
        await engine.wait_until_settled()
        await claim(harness.log)  # as behind a sleep of some sessions
        membership.assign(expected=frozenset({0}))
        await store.closing.wait()
        assert membership.folded == frozenset()
        store.may_close.set()
        await membership.prepared.wait()


async def test_what_is_expected_and_has_no_store_is_refused_until_it_has_one() -> None:
    class BrokenStore(SlowStore):
        is_broken = True

    membership, store, harness = ManualMembership(), BrokenStore(), EngineHarness()
    store.may_close.set()
    async with (
        asyncio.timeout(LIMIT_S),
        worker(harness.log, membership, store) as engine,
    ):
        membership.assign(expected=frozenset({0}))
        await membership.has_refused.wait()
        assert set(engine.refusals.by_partition) == {0}
        membership.assign()  # as the group does then
        store.is_broken = False
        await membership.has_lifted.wait()
        membership.assign(expected=frozenset({0}))
        await membership.prepared.wait()


async def test_what_is_expected_no_longer_is_folded_no_longer() -> None:
    membership, store, harness = ManualMembership(), SlowStore(), EngineHarness()
    async with (
        asyncio.timeout(LIMIT_S),
        worker(harness.log, membership, store),
    ):
        store.may_close.set()
        membership.assign(expected=frozenset({0}))
        await membership.prepared.wait()
        store.may_close.clear()
        store.closing.clear()
        membership.assign()
        await store.closing.wait()
        membership.assign(expected=frozenset({0}))  # again, before it has closed
        membership.prepared.clear()
        store.may_close.set()
        await membership.prepared.wait()


async def test_a_partition_that_comes_back_while_it_is_let_go_is_served_again() -> None:
    membership, store, harness = ManualMembership(), SlowStore(), EngineHarness()
    async with (
        asyncio.timeout(LIMIT_S),
        worker(harness.log, membership, store) as engine,
    ):
        membership.assign(0)
        await harness.command("StartWorkflow", "before", workflow="short", input="x")
        assert await harness.output("before") == "x"
        membership.assign()
        await claim(harness.log)
        await store.closing.wait()
        membership.assign(0)
        store.may_close.set()
        await harness.command("StartWorkflow", "after", workflow="short", input="y")
        assert await harness.output("after") == "y"
        assert engine.stopped == {}


async def test_a_partition_that_is_taken_while_it_is_folded_is_not_claimed() -> None:
    membership, log = ManualMembership(), SlowLog()
    async with (
        asyncio.timeout(LIMIT_S),
        worker(log, membership, MemoryStore()) as engine,
    ):
        membership.assign(0)
        await log.end_asked_for.wait()
        membership.assign()
        for _ in range(50):  # turns of the loop, in which the worker learns of it
            await asyncio.sleep(0)
        log.may_read.set()
        membership.assign(0)
        await engine.wait_until_settled()
        reader: MemoryReader = await log.reader(Topic.EVENTS, 0, 0)
        chunk = await reader.read(max_wait_s=1)
    assert chunk is not None
    assert len(chunk.records) == 1


async def test_a_partition_that_is_taken_is_held_until_what_runs_there_has_ended() -> (
    None
):
    membership, harness, gate = ManualMembership(), EngineHarness(), Gate()
    async with (
        asyncio.timeout(LIMIT_S),
        worker(harness.log, membership, MemoryStore(), flow=gate.flow()),
    ):
        membership.assign(0)
        await harness.command("StartWorkflow", workflow="gate", input="x")
        await gate.begun.wait()
        assert membership.held == {0}
        membership.assign()
        # It decides on commands as before, and begins nothing.
        await harness.command("StartWorkflow", "j", workflow="gate", input="y")
        await harness.until_kind("PositionUpdated", "j")
        assert membership.held == {0}
        gate.may_end.set()
        await membership.released.wait()
        assert membership.held == set()
        assert gate.executed == ["first x"]
        assert (await harness.kinds()).count("TaskCompleted") == 1


async def test_a_hand_over_that_lasts_too_long_withdraws_what_runs_and_says_so() -> (
    None
):
    membership, harness, gate = ManualMembership(), EngineHarness(), Gate()
    with capture_logs() as logs:
        async with (
            asyncio.timeout(LIMIT_S),
            worker(
                harness.log,
                membership,
                MemoryStore(),
                flow=gate.flow(),
                handover_s=0.0,
            ),
        ):
            membership.assign(0)
            await harness.command("StartWorkflow", workflow="gate", input="x")
            await gate.begun.wait()
            membership.assign()
            await membership.released.wait()
            assert (await harness.kinds())[-1] == "AttemptWithdrawn"
    (line,) = [one for one in logs if one["event"] == "partition.handover_expired"]
    assert (line["partition"], line["running"]) == (0, 1)


async def test_a_partition_that_comes_back_in_its_drain_begins_attempts_again() -> None:
    membership, harness, gate = ManualMembership(), EngineHarness(), Gate()
    async with (
        asyncio.timeout(LIMIT_S),
        worker(harness.log, membership, MemoryStore(), flow=gate.flow()),
    ):
        membership.assign(0)
        await harness.command("StartWorkflow", workflow="gate", input="x")
        await gate.begun.wait()
        membership.assign()
        await harness.command("StartWorkflow", "j", workflow="gate", input="y")
        await harness.until_kind("PositionUpdated", "j")
        membership.assign(0)
        gate.may_end.set()
        assert await harness.output("j") == "y"
        assert await harness.output("i") == "x"
        assert sorted(gate.executed) == ["first x", "first y", "second x", "second y"]
        assert "AttemptRestarted" not in await harness.kinds()
        assert membership.held == {0}
