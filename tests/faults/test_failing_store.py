"""An owner whose store fails while it serves: it goes on without a restart."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from sayiir_es import Flow, task
from sayiir_es.core.model.errors import StoreError
from sayiir_es.core.model.rows import get_value
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.definitions.capabilities import Refusal
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.fold import Fold
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import WorkerSettings
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.log.solo import SoloMembership
from sayiir_es.testing.virtual_time import VirtualClock, VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sayiir_es.core.model.rows import Row
    from sayiir_es.engine.store.port import SnapshotStore

INSTANCES, STEPS = 20, 12
FAILURES = 6
STEP_S = 1.0
LIMIT_S = 600.0


@task
async def add_one(number: int) -> int:
    await asyncio.sleep(STEP_S)
    return number + 1


SLOW_FLOW = Flow("plodding")
for number in range(STEPS):
    SLOW_FLOW.delay(f"rest {number}", "2s").then(add_one, name=f"plod {number}")
WORKFLOW = SLOW_FLOW.build()


class FailingStore(MemoryStore):
    """Flushes so many times and then fails, like a full disk or a damaged file."""

    def __init__(self, flushes: int) -> None:
        super().__init__()
        self._flushes_left = flushes

    async def flush(self, *, durable: bool = False) -> None:
        """Write, or fail for good."""
        self._flushes_left -= 1
        if self._flushes_left < 0:
            raise StoreError("expected room on the disk, but there is none")
        await super().flush(durable=durable)

    async def close(self) -> None:
        """Flush: a full disk makes closing fail, too."""
        await self.flush()


class Disk:
    """Opens stores that fail; sometimes opening fails, too."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.opened = 0

    async def __call__(self, partition: int) -> SnapshotStore:
        """Open an empty store, as after damage."""
        del partition
        self.opened += 1
        if self.failures <= 0:
            return MemoryStore()
        self.failures -= 1
        if self.opened > 1 and self.failures % 2:
            raise StoreError("expected room on the disk, but there is none")
        return FailingStore(flushes=2)


def worker(log: MemoryLog, disk: Disk, clock: VirtualClock) -> WorkerEngine:
    """A worker with its stores on that disk."""
    return WorkerEngine(
        ports=Ports(
            log=log,
            clock=clock,
            executor=LocalExecutor(INSTANCES, worker_id="w"),
            registry=Registry(),
        ),
        membership=SoloMembership(log.owner_lock(), partitions=log.partitions),
        open_store=disk,
        settings=WorkerSettings(worker_id="w", incarnation="1", build="test"),
    )


async def start_all(log: MemoryLog) -> None:
    """Produce the start of every instance."""
    for number in range(INSTANCES):
        command = {"command": "StartWorkflow", "workflow": "plodding", "input": number}
        record = NewRecord(
            key=f"i{number}".encode(), value=json.dumps(command).encode()
        )
        await log.produce(Topic.COMMANDS, 0, record)


async def outputs(log: MemoryLog) -> list[Row | None]:
    """The output of every instance, by the log alone."""
    store = MemoryStore()
    reader = await log.reader(Topic.EVENTS, 0, 0)
    fold = Fold(store, 0, 1)
    while (chunk := await reader.read(max_wait_s=0)) is not None:
        fold.apply(chunk)
    return [
        get_value(store.rows(f"i{number}"), "output") for number in range(INSTANCES)
    ]


async def goes_on(clock: VirtualClock) -> None:
    log, disk = MemoryLog(now_ms=clock.now_ms), Disk(FAILURES)
    await log.open(create=True)
    engine = worker(log, disk, clock)
    await engine.start([WORKFLOW])
    await start_all(log)
    expected_outputs = [str(number + STEPS).encode() for number in range(INSTANCES)]
    async with asyncio.timeout(LIMIT_S):
        while await outputs(log) != expected_outputs:
            assert engine.stopped == {}
            await asyncio.sleep(STEP_S)
    assert disk.failures == 0
    assert disk.opened == FAILURES + 1
    await engine.stop(drain=False)


async def never_opens(clock: VirtualClock) -> None:
    class DiskThatRefuses(Disk):
        async def __call__(self, partition: int) -> SnapshotStore:
            raise StoreError(f"expected a store of {partition}, but another's lock")

    log = MemoryLog(now_ms=clock.now_ms)
    await log.open(create=True)
    engine = worker(log, DiskThatRefuses(0), clock)
    await engine.start([])
    await engine.wait_until_settled()
    assert engine.stopped == {}
    refusal = Refusal(code="store", reason="expected a store of 0, but another's lock")
    assert engine.refusals.by_partition == {0: refusal}
    assert engine.refusals.useless.is_set()
    await engine.stop(drain=False)


async def fails_at_the_end(clock: VirtualClock) -> None:
    log, disk = MemoryLog(now_ms=clock.now_ms), Disk(1_000)
    await log.open(create=True)
    engine = worker(log, disk, clock)
    await engine.start([WORKFLOW])
    await engine.wait_until_settled()
    async with asyncio.timeout(LIMIT_S):
        await engine.stop(drain=False)


def run_on_virtual_time(
    scenario: Coroutine[object, object, None], loop: VirtualLoop
) -> None:
    try:
        loop.run_until_complete(scenario)
    finally:
        loop.close()


def test_an_owner_whose_store_fails_again_and_again_ends_all_it_was_given() -> None:
    loop = VirtualLoop()
    run_on_virtual_time(goes_on(VirtualClock(loop)), loop)


def test_a_partition_whose_store_never_opens_is_refused() -> None:
    loop = VirtualLoop()
    run_on_virtual_time(never_opens(VirtualClock(loop)), loop)


def test_a_store_that_fails_while_a_worker_stops_does_not_keep_it() -> None:
    loop = VirtualLoop()
    run_on_virtual_time(fails_at_the_end(VirtualClock(loop)), loop)
