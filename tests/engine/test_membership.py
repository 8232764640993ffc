"""Partitions that the group assigns and revokes while a worker is busy with them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.clock import SystemClock
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import WorkerSettings
from sayiir_es.log.memory.log import MemoryLog, MemoryReader
from sayiir_es.log.port import Assignment, Topic
from tests.engine.harness import EngineHarness

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from sayiir_es.core.authoring.workflow import Workflow

LIMIT_S = 10.0


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

    def assign(self, *partitions: int) -> None:
        """Assign these partitions from now on, and no others."""
        self.partitions = frozenset(partitions)
        self.epoch += 1
        self.change.set()
        self.change = asyncio.Event()

    async def join(self) -> None:
        """Nothing to do: the test assigns."""

    async def leave(self) -> None:
        """Give all back."""
        self.assign()

    def refuse(self, partitions: frozenset[int]) -> None:
        """Change nothing: the assignment is the test's."""

    def current(self) -> Assignment:
        """The last assignment."""
        now_s = asyncio.get_running_loop().time()
        return Assignment(
            partitions=self.partitions, epoch=self.epoch, fresh_at_s=now_s, lapses=0
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
