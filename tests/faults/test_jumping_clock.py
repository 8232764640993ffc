"""Clocks that are set an hour forth or back while workflows wait, run and retry.

Wall time is what people mean by a time, so a clock that is set forth ends delays and
deadlines at once. One that is set back makes them late, by as much at most, for time in
a partition never runs back. Nothing is ever early by the times in the log, no attempt
runs twice, and the events hold all that `audit verify` asks.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import closing
from random import Random
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, RetryPolicy, get_task_context, task
from sayiir_es.audit.verify.log import LogVerification
from sayiir_es.core.model.events import (
    DeadlineSet,
    DelayElapsed,
    DelayStarted,
    Event,
    RetryRecorded,
    SignalAwaited,
    SignalTimedOut,
    TaskCompleted,
    WorkflowCompleted,
)
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.fold import Fold
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import WorkerSettings
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.log.solo import SoloMembership
from sayiir_es.testing.virtual_time import EPOCH_MS, VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sayiir_es.engine.store.port import SnapshotStore

HOUR_MS = 3_600_000
INSTANCES = 12
LOOK_S = 5.0
LIMIT_S = 48 * 3600.0

began: Counter[str] = Counter()


@task(retries=RetryPolicy(max_retries=3, initial_delay_secs=600))
async def flaky(value: int) -> int:
    context = get_task_context()
    assert context is not None
    began[f"{context.instance_id} {context.attempt}"] += 1
    await asyncio.sleep(30)
    if context.attempt < 3:
        raise ValueError("not yet")
    return value + 1


@task(timeout="2h")
async def slow(value: object) -> object:
    context = get_task_context()
    assert context is not None
    began[f"{context.instance_id} slow {context.attempt}"] += 1
    await asyncio.sleep(600)
    return value


@task
def last(value: object) -> object:
    return value


WAITING = (
    Flow("waiting")
    .then(flaky)
    .delay("rest", "30m")
    .wait_for_signal("never", timeout="20m")
    .then(slow)
    .then(last)
    .build()
)


class JumpingClock:
    """Wall time with an error that a test sets; monotonic time has none."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.error_ms = 0
        self._loop = loop

    def now_ms(self) -> int:
        """Wall time, in milliseconds since the Unix epoch."""
        return EPOCH_MS + int(self._loop.time() * 1000) + self.error_ms

    def monotonic_s(self) -> float:
        """Virtual time, in seconds."""
        return self._loop.time()


class Scene:
    """A log, a clock, and one worker after the other."""

    def __init__(self) -> None:
        self.clock = JumpingClock(asyncio.get_running_loop())
        self.log = MemoryLog(now_ms=self.clock.now_ms)
        self.owners = 0
        self._engine: WorkerEngine | None = None

    async def begin(self, instances: int = 1) -> None:
        """Serve, and start instances."""
        began.clear()
        await self.log.open(create=True)
        await self.take_over()
        for number in range(instances):
            told = {"command": "StartWorkflow", "workflow": "waiting", "input": 1}
            record = NewRecord(
                key=f"i{number}".encode(), value=json.dumps(told).encode()
            )
            await self.log.produce(Topic.COMMANDS, 0, record)

    async def take_over(self) -> None:
        """Another worker, of which the old one knows nothing, serves from now on."""
        if self._engine is not None:
            await self._engine.stop(drain=False)
        self.owners += 1
        name = f"w{self.owners}"

        async def open_store(partition: int) -> SnapshotStore:
            assert partition == 0
            return MemoryStore()

        self._engine = WorkerEngine(
            ports=Ports(
                log=self.log,
                clock=self.clock,
                executor=LocalExecutor(INSTANCES, worker_id=name),
                registry=Registry(),
            ),
            membership=SoloMembership(
                self.log.owner_lock(), partitions=self.log.partitions
            ),
            open_store=open_store,
            settings=WorkerSettings(worker_id=name, incarnation=name, build="test"),
        )
        await self._engine.start([WAITING])
        await self._engine.settled()

    async def events(self) -> list[Event]:
        """The valid events."""
        found: list[Event] = []
        fold = Fold(MemoryStore(), 0, on_event=lambda _, event: found.append(event))
        reader = await self.log.reader(Topic.EVENTS, 0, 0)
        while (chunk := await reader.read(max_wait_s=0)) is not None:
            fold.apply(chunk)
        return found

    async def until(self, kind: type, count: int = 1) -> float:
        """Wait until so many events of a kind are there; the virtual time then."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                events = await self.events()
                if sum(isinstance(event.body, kind) for event in events) >= count:
                    return asyncio.get_running_loop().time()
                assert self._engine is not None
                assert self._engine.stopped == {}
                await asyncio.sleep(LOOK_S)

    async def end(self) -> list[Event]:
        """Stop, and hold the events to all that must hold; returns them."""
        assert self._engine is not None
        await self._engine.stop(drain=False)
        verification = LogVerification(self.log)
        assert [found async for found in verification.violations()] == []
        events = await self.events()
        hold_to_their_times(events)
        return events


def hold_to_their_times(events: list[Event]) -> None:
    """No delay, wait or backoff ends before the time that it was given."""
    due: dict[tuple[str, str], int] = {}
    at = 0
    for event in events:
        body, who = event.body, event.instance_id
        if event.sequence:
            assert event.at >= at
            at = event.at
        match body:
            case DelayStarted():
                due[who, body.path] = body.due_at
            case SignalAwaited():
                due[who, body.path] = body.until_at or 0
            case RetryRecorded():
                due[who, body.path] = body.next_retry_at
            case DelayElapsed() | SignalTimedOut() | TaskCompleted():
                assert event.at >= due.get((who, body.path), 0), event
            case _:
                pass


def play(scene: Callable[[], Coroutine[object, object, None]]) -> None:
    """Play a scene in virtual time."""
    with closing(VirtualLoop()) as loop:
        loop.run_until_complete(scene())


def test_set_forth_in_a_delay_it_ends_at_once() -> None:
    async def scene() -> None:
        found = Scene()
        await found.begin()
        started_s = await found.until(DelayStarted)
        found.clock.error_ms = HOUR_MS
        elapsed_s = await found.until(DelayElapsed)
        assert elapsed_s - started_s <= 3 * LOOK_S
        await found.until(WorkflowCompleted)
        await found.end()

    play(scene)


def test_set_back_in_a_delay_it_is_late_and_never_early() -> None:
    async def scene() -> None:
        found = Scene()
        await found.begin()
        started_s = await found.until(DelayStarted)
        found.clock.error_ms = -HOUR_MS
        elapsed_s = await found.until(DelayElapsed)
        late_s = elapsed_s - started_s - 30 * 60
        assert 3600 - 3 * LOOK_S <= late_s <= 3600 + 3 * LOOK_S
        await found.until(WorkflowCompleted)
        events = await found.end()
        assert sum(isinstance(event.body, DelayElapsed) for event in events) == 1

    play(scene)


@pytest.mark.parametrize("error_ms", [HOUR_MS, -HOUR_MS])
def test_an_attempt_that_runs_while_the_clock_is_set_runs_once(error_ms: int) -> None:
    async def scene() -> None:
        found = Scene()
        await found.begin()
        await found.until(DeadlineSet)
        found.clock.error_ms = error_ms
        await found.until(WorkflowCompleted)
        await found.end()
        assert set(began.values()) == {1}
        assert began["i0 slow 1"] == 1
        assert "i0 slow 2" not in began

    play(scene)


def test_workers_whose_clocks_differ_by_two_hours_hand_over_in_order() -> None:
    async def scene() -> None:
        found = Scene()
        await found.begin(3)
        for number, kind in enumerate((RetryRecorded, DelayStarted, SignalAwaited)):
            await found.until(kind, 3)
            found.clock.error_ms = HOUR_MS if number % 2 else -HOUR_MS
            await found.take_over()
        await found.until(WorkflowCompleted, 3)
        await found.end()
        assert found.owners == 4

    play(scene)


@pytest.mark.parametrize("seed", range(3))
def test_set_again_and_again_all_ends_well_and_no_attempt_runs_twice(
    seed: int,
) -> None:
    async def scene() -> None:
        found, chance = Scene(), Random(seed)  # noqa: S311
        await found.begin(INSTANCES)

        async def set_the_clock() -> None:
            for _ in range(40):
                await asyncio.sleep(chance.uniform(1, 900))
                found.clock.error_ms = chance.randint(-HOUR_MS, HOUR_MS)

        setting = asyncio.create_task(set_the_clock())
        await found.until(WorkflowCompleted, INSTANCES)
        setting.cancel()
        events = await found.end()
        ended = [e for e in events if isinstance(e.body, WorkflowCompleted)]
        assert len(ended) == INSTANCES
        assert set(began.values()) == {1}

    play(scene)
