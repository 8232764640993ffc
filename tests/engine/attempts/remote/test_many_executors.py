"""A thousand executors that come and go leave an owner as they found it."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sayiir_es.core.model.rows import get_header
from sayiir_es.engine.attempts.remote.placement import PlacingExecutor
from sayiir_es.log.port import Topic
from sayiir_es.testing.virtual_time import VirtualClock, VirtualLoop
from sayiir_es.wire.attempts import PublishedAttempt, decode_attempt
from tests.engine.attempts.remote.orders import paying
from tests.engine.attempts.remote.speaker import Speaker
from tests.engine.harness import EngineHarness

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sayiir_es.engine.definitions.job import Job
    from sayiir_es.engine.worker import WorkerEngine

WAVES, EACH = 10, 100
TTL_MS, LEASE_MS = 3_000, 2_000
LIMIT_S = 600.0


@dataclass
class Crowd:
    """Executors that only speak, with one who reads for all of them.

    Of each four one answers, one hands back, one stops as it should, and one falls
    silent with what it has.
    """

    harness: EngineHarness
    came: int = 0
    members: dict[str, Speaker] = field(default_factory=dict[str, Speaker])

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[None]:
        """They hear of their attempts meanwhile."""
        topics = self.harness.log.request_topics
        await topics.open(create=True)
        subscription = await topics.subscribe(Topic.ATTEMPTS, 0)

        async def read() -> None:
            while True:
                for record in await subscription.read():
                    message = decode_attempt(record.value or b"")
                    if isinstance(message, PublishedAttempt):
                        await self._take(message)

        task = asyncio.create_task(read())
        try:
            yield
        finally:
            task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
            await subscription.close()
            assert isinstance(ended, asyncio.CancelledError), ended

    def come(self, count: int) -> None:
        """So many new ones offer a slot, each tenth of another kind."""
        for number in range(self.came, self.came + count):
            one = self.enter(f"e-{number}", tags=(f"rack-{number // 10}",))
            one.offer(1, ttl_ms=TTL_MS, slots=1)
        self.came += count

    def enter(self, name: str, *, tags: tuple[str, ...] = ()) -> Speaker:
        """One that can run the task."""
        one = Speaker(self.harness.log, name, tasks=("orders/pay",), tags=tags)
        self.members[name] = one
        return one

    def go(self) -> None:
        """All of them are heard of no more."""
        self.members.clear()

    async def _take(self, attempt: PublishedAttempt) -> None:
        one = self.members.get(attempt.executor)
        if one is None:
            return
        kind, number = one.name.split("-")
        match 0 if kind == "last" else int(number) % 4:
            case 0:
                await one.tell(attempt)
            case 1:
                await one.tell(attempt, None)
            case 2:
                one.offer(0, ttl_ms=TTL_MS, slots=1, stopping=True)
                await one.tell(attempt)
            case _:
                one.progress(attempt)


def counts(worker: WorkerEngine) -> Counter[str]:
    """How many objects there are of what an owner knows of attempts elsewhere."""
    gc.collect()
    objects = Counter(
        type(one).__name__
        for one in gc.get_objects()
        if str(type(one).__module__).startswith("sayiir_es.engine.attempts")
    )
    dispatcher = worker.owners[0].dispatcher
    placing = dispatcher.elsewhere
    assert isinstance(placing, PlacingExecutor)
    objects["executors"] = len(placing.table)
    objects["leases"] = len(dispatcher.leases)
    return objects


async def wave(harness: EngineHarness, worker: WorkerEngine, crowd: Crowd) -> int:
    """Some come, take attempts and go; one more does what they left behind.

    Returns how many executors were known at a time.
    """
    first, dispatcher = crowd.came, worker.owners[0].dispatcher
    names = [f"i{first + number}" for number in range(EACH)]
    for name in names:
        await harness.command("StartWorkflow", name, workflow="orders")
    crowd.come(EACH)
    await asyncio.sleep(1)
    assert dispatcher.elsewhere is not None
    known = len(dispatcher.elsewhere.table)
    crowd.go()
    await asyncio.sleep((TTL_MS + LEASE_MS) / 1000)
    last = crowd.enter(f"last-{first}")
    while dispatcher.busy:
        last.offer(EACH, ttl_ms=TTL_MS, slots=4 * EACH)
        await asyncio.sleep(0.5)
    crowd.go()
    await asyncio.sleep(TTL_MS / 1000)
    # Who is asked what it knows looks first who is silent.
    dispatcher.elsewhere.table.is_run(any_job(worker))
    folded = await harness.folded()
    for name in names:
        header = get_header(folded.rows(name))
        assert header is not None
        assert header.phase == "completed"
    return known


def any_job(worker: WorkerEngine) -> Job:
    """What the instances run."""
    job = worker.registry.job(paying().graph.digest, "pay")
    assert job is not None
    return job


async def scenario(loop: VirtualLoop) -> None:
    """Waves of executors, and a count behind each."""
    harness = EngineHarness(lease_ms=LEASE_MS, clock=VirtualClock(loop))
    crowd, left = Crowd(harness), list[Counter[str]]()
    async with harness.worker(paying()) as worker, crowd.reading():
        for _ in range(WAVES):
            known = await wave(harness, worker, crowd)
            assert known >= EACH // 2
            left.append(counts(worker))
    assert crowd.came == WAVES * EACH
    assert left[0]["executors"] == left[0]["leases"] == left[0]["RemoteExecutor"] == 0
    assert all(one == left[0] for one in left), left


def test_nothing_that_an_owner_keeps_grows_with_who_ever_came() -> None:
    gc.collect()
    gc.freeze()  # what other tests left is neither counted nor looked at
    try:
        with closing(VirtualLoop()) as loop:
            loop.run_until_complete(asyncio.wait_for(scenario(loop), LIMIT_S))
    finally:
        gc.unfreeze()
