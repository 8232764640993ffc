"""A monitor sees what its worker does: on a memory log, with real appends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, task
from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.operations import worker_monitor
from sayiir_es.operations.metrics import catalogue
from sayiir_es.operations.metrics.series import Numbers
from sayiir_es.operations.worker_monitor import WorkerMonitor
from sayiir_es.operations.worker_series import worker_series
from tests.engine.attempts.remote.speaker import Speaker
from tests.engine.harness import EngineHarness
from tests.engine.slow_log import SlowLog

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from sayiir_es.engine.worker import WorkerEngine


@task
def add_one(number: int) -> int:
    return number + 1


ADDING = Flow("adding").then(add_one).build()
WAITING = Flow("waiting").then(add_one).wait_for_signal("go").build()


@pytest.fixture
def monitor(monkeypatch: pytest.MonkeyPatch) -> WorkerMonitor:
    monkeypatch.setattr(worker_monitor, "PULSE_S", 0.005)
    monkeypatch.setattr(worker_monitor, "ENDS_EVERY_S", 0.005)
    return WorkerMonitor()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (nothing says that it was noted)
            await asyncio.sleep(0.005)


@pytest.fixture
async def watched(
    monitor: WorkerMonitor,
) -> AsyncGenerator[tuple[EngineHarness, WorkerEngine]]:
    harness = EngineHarness(meter=monitor.meter)
    await monitor.begin("w1")
    async with harness.worker(ADDING, WAITING) as engine:
        monitor.watch(engine, harness.log)
        yield harness, engine
    await monitor.close()


def number(monitor: WorkerMonitor, metric: catalogue.Metric) -> dict[str, float]:
    for one in worker_series(monitor, "1.2.3", monitor.turned_at_s):
        if one.metric is metric and isinstance(one, Numbers):
            return {",".join(labels): value for labels, value in one.values.items()}
    return {}


@pytest.mark.usefixtures("watched")
async def test_a_served_partition_is_seen(
    monitor: WorkerMonitor,
) -> None:
    await until(lambda: monitor.seen.state is not None)
    state = monitor.seen.state
    assert state is not None
    assert [one.phase for one in state.partitions] == ["serving"]
    assert number(monitor, catalogue.PARTITION_SERVED) == {"0": 1}
    assert number(monitor, catalogue.READY) == {"": 1}
    assert number(monitor, catalogue.SLOTS) == {"": 8}


@pytest.mark.usefixtures("watched")
async def test_a_pulse_that_stops_is_seen_by_its_age(
    monitor: WorkerMonitor,
) -> None:
    turned = monitor.turned_at_s
    await until(lambda: monitor.turned_at_s > turned)
    assert monitor.recorder.loop_lag_s.of().cumulated()[-1][1] > 0


async def test_commands_behind_an_append_that_hangs_are_lag_and_a_stalled_owner() -> (
    None
):
    log = SlowLog()
    log.gate.set()
    harness = EngineHarness(log=log)
    async with harness.worker(ADDING) as engine:
        log.gate.clear()
        await harness.command("StartWorkflow", workflow="adding", input=1)
        await until(lambda: not engine.owners[0].quiet.is_set())
        began = engine.owners[0].observe().turn_age_s
        await asyncio.sleep(0.02)
        later = engine.owners[0].observe()
        assert later.turn_age_s >= began + 0.02
        assert later.next_command == 0
        log.gate.set()
        await harness.output()
        assert engine.owners[0].observe().next_command == 1


async def test_an_idle_owner_turns_all_the_same(
    watched: tuple[EngineHarness, WorkerEngine],
) -> None:
    _, engine = watched
    owner = engine.owners[0]
    await until(lambda: owner.observe().turn_age_s > 0.1)
    owner.look()
    await until(lambda: owner.observe().turn_age_s < 0.1)


class FallibleLog(MemoryLog):
    """A log that can fall silent."""

    def __init__(self) -> None:
        super().__init__()
        self.is_silent = False
        self.asked = 0

    async def end_offset(self, topic: Topic, partition: int) -> int:
        """Refuse while it is silent."""
        self.asked += 1
        if self.is_silent:
            raise LogUnavailableError(f"expected {topic}, but nothing answers")
        return await super().end_offset(topic, partition)


async def test_how_far_the_log_is_stands_while_it_does_not_answer(
    monitor: WorkerMonitor,
) -> None:
    harness, asked = EngineHarness(meter=monitor.meter), FallibleLog()
    await asked.open(create=True)
    await asked.produce(Topic.COMMANDS, 0, NewRecord(key=b"k", value=b"{}"))
    await monitor.begin("w1")
    async with harness.worker(ADDING) as engine:
        monitor.watch(engine, asked)
        await until(lambda: 0 in monitor.ends)
        assert number(monitor, catalogue.COMMAND_LAG) == {"0": 1}
        asked.is_silent, seen = True, asked.asked
        await until(lambda: asked.asked > seen + 2)
        assert number(monitor, catalogue.COMMAND_LAG) == {"0": 1}
    await monitor.close()


async def test_instances_are_counted_only_while_somebody_scrapes(
    monitor: WorkerMonitor, watched: tuple[EngineHarness, WorkerEngine]
) -> None:
    harness, _ = watched
    await harness.command("StartWorkflow", "a", workflow="adding", input=1)
    await harness.command("StartWorkflow", "b", workflow="waiting", input=1)
    await harness.until_kind("SignalAwaited", "b")
    await harness.until_kind("WorkflowCompleted", "a")
    turned = monitor.turned_at_s
    await until(lambda: monitor.turned_at_s > turned + 0.05)
    assert monitor.census is None
    monitor.scraped_at_s = monitor.turned_at_s
    await until(lambda: monitor.census is not None)
    counts = number(monitor, catalogue.INSTANCES)
    assert {name: count for name, count in counts.items() if count} == {
        "completed": 1,
        "awaiting_signal": 1,
    }
    assert number(monitor, catalogue.STRANDED) == {"": 0}


async def test_attempts_that_nobody_may_run_are_counted_by_what_lacks(
    monitor: WorkerMonitor,
) -> None:
    @task(execute="remote", tags=["gpu"])
    def paint(value: int) -> int:
        return value

    painting = Flow[int, int]("painting").then(paint).build()
    harness = EngineHarness(meter=monitor.meter)
    await monitor.begin("w1")
    async with (
        harness.worker(painting) as engine,
        Speaker(harness.log, tasks=("painting/paint",), tags=("gpu",)).reading() as one,
    ):
        monitor.watch(engine, harness.log)
        await until(lambda: monitor.seen.state is not None)
        assert number(monitor, catalogue.ATTEMPTS_UNPLACED) == {"slot": 0}
        for name in ("a", "b", "c"):
            await harness.command("StartWorkflow", name, workflow="painting", input=1)
            await harness.until_kind("PositionUpdated", name)
        monitor.scraped_at_s = monitor.turned_at_s
        await until(lambda: monitor.census is not None)
        assert number(monitor, catalogue.ATTEMPTS_UNPLACED) == {
            "code": 0,
            "executor": 3,
            "tag": 0,
            "slot": 0,
        }
        assert number(monitor, catalogue.STRANDED) == {"": 3}
        one.offer(1)
        await one.attempt()

        def waits_for_slots() -> bool:
            return number(monitor, catalogue.ATTEMPTS_UNPLACED)["slot"] == 2

        await until(waits_for_slots)
        await until(lambda: number(monitor, catalogue.ATTEMPTS_ELSEWHERE) == {"": 1})
    await monitor.close()


@pytest.mark.usefixtures("watched")
async def test_a_command_that_nothing_decides_is_stuck_for_a_growing_time(
    monitor: WorkerMonitor,
) -> None:
    await until(lambda: 0 in monitor.ends)
    monitor.look()
    assert monitor.seen.stuck_s == {}
    monitor.ends = {0: worker_monitor.Ends(commands=2, events=0)}
    monitor.look()
    first = monitor.seen.stuck_s[0]
    monitor.ends = {0: worker_monitor.Ends(commands=2, events=0)}
    monitor.look()
    assert monitor.seen.stuck_s[0] > first
