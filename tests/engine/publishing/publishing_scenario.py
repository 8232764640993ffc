"""A scene of owners that publish snapshots, on virtual time."""

# pyright: reportPrivateUsage=false
# How a worker crashes is nobody's public word.

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.model.errors import BatchTooLargeError, LogUnavailableError
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.testing.virtual_time import VirtualClock, VirtualLoop
from tests.engine.harness import World
from tests.engine.publishing.snapshot_table import (
    expected_rows,
    hold_to_its_word,
    kept_of,
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


class MoodyLog(MemoryLog):
    """A log whose snapshots topic refuses when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = 0
        self.bytes_max = 1 << 30

    async def produce(self, topic: Topic, partition: int, record: NewRecord) -> int:
        """Produce, or refuse as a broker would."""
        if topic is Topic.SNAPSHOTS:
            if self.fails:
                self.fails -= 1
                raise LogUnavailableError("expected an answer, but there was none")
            if len(record.value or b"") > self.bytes_max:
                raise BatchTooLargeError("expected less, but it is too large")
        return await super().produce(topic, partition, record)


def play(scene: Callable[[World], Coroutine[object, object, None]]) -> None:
    """Run a scene on virtual time."""
    loop = VirtualLoop()
    try:
        world = World(log=MoodyLog(), snapshots=True, clock=VirtualClock(loop))
        loop.run_until_complete(scene(world))
    finally:
        loop.close()


async def crash(engine: WorkerEngine) -> None:
    """End a worker as `kill -9` does: nothing is published, nothing handed over."""
    engine._stopping = True  # nothing begins again
    watch = engine._watch
    assert watch is not None
    supervisors = engine._supervisors.values()
    tasks = [one._task for one in supervisors if one._task is not None]
    for task in (watch, *tasks):
        task.cancel()
    await asyncio.gather(watch, *tasks, return_exceptions=True)
    await engine._membership.leave()


async def snapshots(world: World) -> int:
    return await world.log.end_offset(Topic.SNAPSHOTS, 0)


async def start(world: World, *names: str, workflow: str = "short") -> None:
    for name in names:
        await world.command("StartWorkflow", name, workflow=workflow, input=1)


async def hold(world: World, engine: WorkerEngine) -> None:
    """What has to be true once all is published."""
    records = await world.records(Topic.SNAPSHOTS)
    wanted = await expected_rows(world, engine.definitions._registry)
    assert rows_of(table_of(records)) == wanted
    assert rows_of(kept_of(records)) == wanted
    await hold_to_its_word(world)
