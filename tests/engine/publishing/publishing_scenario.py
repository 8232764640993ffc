"""A scenario of owners that publish snapshots, on virtual time."""

# pyright: reportPrivateUsage=false
# A crash of a worker is no part of its public interface.

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.model.errors import BatchTooLargeError, LogUnavailableError
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.testing.virtual_time import VirtualClock, VirtualLoop
from tests.engine.harness import EngineHarness
from tests.engine.publishing.snapshot_table import (
    check_completeness,
    compacted_table_of,
    expected_rows,
    rows_of,
    table_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sayiir_es.engine.worker import WorkerEngine


async def step(value: object) -> object:
    await asyncio.sleep(0.03)
    return value


FLOW = Flow("short").then(step, name="a").then(step, name="b").build()
WAITING = Flow("waiting").then(step, name="a").wait_for_signal("ok").build()


class FailingLog(MemoryLog):
    """A log whose snapshots topic refuses records when a test wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = 0
        self.bytes_max = 1 << 30

    async def produce(self, topic: Topic, partition: int, record: NewRecord) -> int:
        """Produce, or refuse as a broker does."""
        if topic is Topic.SNAPSHOTS:
            if self.fails:
                self.fails -= 1
                raise LogUnavailableError("expected an answer, but there was none")
            if len(record.value or b"") > self.bytes_max:
                raise BatchTooLargeError("expected less, but it is too large")
        return await super().produce(topic, partition, record)


def run_scenario(
    scenario: Callable[[EngineHarness], Coroutine[object, object, None]],
) -> None:
    """Run a scenario on virtual time."""
    loop = VirtualLoop()
    try:
        harness = EngineHarness(
            log=FailingLog(), snapshots=True, clock=VirtualClock(loop)
        )
        loop.run_until_complete(scenario(harness))
    finally:
        loop.close()


async def crash(engine: WorkerEngine) -> None:
    """End a worker as `kill -9` does: nothing is published, nothing handed over."""
    engine._stopping = True  # no partition is supervised again
    watch = engine._watch
    assert watch is not None
    supervisors = engine._supervisors.values()
    tasks = [
        supervisor._task for supervisor in supervisors if supervisor._task is not None
    ]
    for task in (watch, *tasks):
        task.cancel()
    await asyncio.gather(watch, *tasks, return_exceptions=True)
    await engine._membership.leave()


async def snapshots(harness: EngineHarness) -> int:
    return await harness.log.end_offset(Topic.SNAPSHOTS, 0)


async def start(harness: EngineHarness, *names: str, workflow: str = "short") -> None:
    for name in names:
        await harness.command("StartWorkflow", name, workflow=workflow, input=1)


async def check_published(harness: EngineHarness, engine: WorkerEngine) -> None:
    """Check what must be true when everything is published."""
    records = await harness.records(Topic.SNAPSHOTS)
    expected_table = await expected_rows(harness, engine.definitions._registry)
    assert rows_of(table_of(records)) == expected_table
    assert rows_of(compacted_table_of(records)) == expected_table
    await check_completeness(harness)
