"""Clocks that are set an hour forward or back while workflows wait, run and retry.

People mean wall time, so a clock that is set forward ends delays and deadlines at once.
One that is set back makes them late, at most by that hour, because time in a partition
never runs back. By the times in the log nothing is ever early, no attempt runs twice,
and the events hold to every rule of `audit verify`.
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

executions: Counter[str] = Counter()


@task(retries=RetryPolicy(max_retries=3, initial_delay_secs=600))
async def flaky(value: int) -> int:
    context = get_task_context()
    assert context is not None
    executions[f"{context.instance_id} {context.attempt}"] += 1
    await asyncio.sleep(30)
    if context.attempt < 3:
        raise ValueError("not yet")
    return value + 1


@task(timeout="2h")
async def slow(value: object) -> object:
    context = get_task_context()
    assert context is not None
    executions[f"{context.instance_id} slow {context.attempt}"] += 1
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


class ClockScenario:
    """A log, a clock, and one worker after the other."""

    def __init__(self) -> None:
        self.clock = JumpingClock(asyncio.get_running_loop())
        self.log = MemoryLog(now_ms=self.clock.now_ms)
        self.owners = 0
        self._engine: WorkerEngine | None = None

    async def begin(self, instances: int = 1) -> None:
        """Start a worker and instances."""
        executions.clear()
        await self.log.open(create=True)
        await self.take_over()
        for number in range(instances):
            command = {"command": "StartWorkflow", "workflow": "waiting", "input": 1}
            record = NewRecord(
                key=f"i{number}".encode(), value=json.dumps(command).encode()
            )
            await self.log.produce(Topic.COMMANDS, 0, record)

    async def take_over(self) -> None:
        """Stop the worker, and start another one with an empty store."""
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
        await self._engine.wait_until_settled()

    async def events(self) -> list[Event]:
        """The valid events."""
        events: list[Event] = []
        fold = Fold(MemoryStore(), 0, 1, on_event=lambda _, event: events.append(event))
        reader = await self.log.reader(Topic.EVENTS, 0, 0)
        while (chunk := await reader.read(max_wait_s=0)) is not None:
            fold.apply(chunk)
        return events

    async def until(self, kind: type, count: int = 1) -> float:
        """Wait until there are so many events of a kind; returns the virtual time."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                events = await self.events()
                if sum(isinstance(event.body, kind) for event in events) >= count:
                    return asyncio.get_running_loop().time()
                assert self._engine is not None
                assert self._engine.stopped == {}
                await asyncio.sleep(LOOK_S)

    async def end(self) -> list[Event]:
        """Stop, check the events, and return them."""
        assert self._engine is not None
        await self._engine.stop(drain=False)
        verification = LogVerification(self.log)
        assert [violation async for violation in verification.violations()] == []
        events = await self.events()
        check_times(events)
        return events


def check_times(events: list[Event]) -> None:
    """Check that no delay, wait or backoff ends before its time."""
    due: dict[tuple[str, str], int] = {}
    at = 0
    for event in events:
        body, instance_id = event.body, event.instance_id
        if event.sequence:
            assert event.at >= at
            at = event.at
        match body:
            case DelayStarted():
                due[instance_id, body.path] = body.due_at
            case SignalAwaited():
                due[instance_id, body.path] = body.until_at or 0
            case RetryRecorded():
                due[instance_id, body.path] = body.next_retry_at
            case DelayElapsed() | SignalTimedOut() | TaskCompleted():
                assert event.at >= due.get((instance_id, body.path), 0), event
            case _:
                pass


def run_on_virtual_time(run: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run a coroutine function on virtual time."""
    with closing(VirtualLoop()) as loop:
        loop.run_until_complete(run())


def test_set_forth_in_a_delay_it_ends_at_once() -> None:
    async def run() -> None:
        scenario = ClockScenario()
        await scenario.begin()
        started_s = await scenario.until(DelayStarted)
        scenario.clock.error_ms = HOUR_MS
        elapsed_s = await scenario.until(DelayElapsed)
        assert elapsed_s - started_s <= 3 * LOOK_S
        await scenario.until(WorkflowCompleted)
        await scenario.end()

    run_on_virtual_time(run)


def test_set_back_in_a_delay_it_is_late_and_never_early() -> None:
    async def run() -> None:
        scenario = ClockScenario()
        await scenario.begin()
        started_s = await scenario.until(DelayStarted)
        scenario.clock.error_ms = -HOUR_MS
        elapsed_s = await scenario.until(DelayElapsed)
        late_s = elapsed_s - started_s - 30 * 60
        assert 3600 - 3 * LOOK_S <= late_s <= 3600 + 3 * LOOK_S
        await scenario.until(WorkflowCompleted)
        events = await scenario.end()
        assert sum(isinstance(event.body, DelayElapsed) for event in events) == 1

    run_on_virtual_time(run)


@pytest.mark.parametrize("error_ms", [HOUR_MS, -HOUR_MS])
def test_an_attempt_that_runs_while_the_clock_is_set_runs_once(error_ms: int) -> None:
    async def run() -> None:
        scenario = ClockScenario()
        await scenario.begin()
        await scenario.until(DeadlineSet)
        scenario.clock.error_ms = error_ms
        await scenario.until(WorkflowCompleted)
        await scenario.end()
        assert set(executions.values()) == {1}
        assert executions["i0 slow 1"] == 1
        assert "i0 slow 2" not in executions

    run_on_virtual_time(run)


def test_workers_whose_clocks_differ_by_two_hours_hand_over_in_order() -> None:
    async def run() -> None:
        scenario = ClockScenario()
        await scenario.begin(3)
        for number, kind in enumerate((RetryRecorded, DelayStarted, SignalAwaited)):
            await scenario.until(kind, 3)
            scenario.clock.error_ms = HOUR_MS if number % 2 else -HOUR_MS
            await scenario.take_over()
        await scenario.until(WorkflowCompleted, 3)
        await scenario.end()
        assert scenario.owners == 4

    run_on_virtual_time(run)


@pytest.mark.parametrize("seed", range(3))
def test_set_again_and_again_all_ends_well_and_no_attempt_runs_twice(
    seed: int,
) -> None:
    async def run() -> None:
        scenario, chance = ClockScenario(), Random(seed)  # noqa: S311
        await scenario.begin(INSTANCES)

        async def set_the_clock() -> None:
            for _ in range(40):
                await asyncio.sleep(chance.uniform(1, 900))
                scenario.clock.error_ms = chance.randint(-HOUR_MS, HOUR_MS)

        setting = asyncio.create_task(set_the_clock())
        await scenario.until(WorkflowCompleted, INSTANCES)
        setting.cancel()
        events = await scenario.end()
        ended = [e for e in events if isinstance(e.body, WorkflowCompleted)]
        assert len(ended) == INSTANCES
        assert set(executions.values()) == {1}

    run_on_virtual_time(run)
