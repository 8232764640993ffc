"""A command that cannot be forwarded ends a tenure, and nothing else with it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.core.partitions import partition_of
from sayiir_es.log.memory.log import Fault, MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from tests.engine.harness import LIMIT_S, World

if TYPE_CHECKING:
    from collections.abc import Sequence

IN_FLIGHT_S = 0.1


def named(prefix: str, partition: int) -> str:
    """An instance that lives there, of two partitions."""
    names = (f"{prefix}{number}" for number in range(100))
    return next(name for name in names if partition_of(name.encode(), 2) == partition)


class CutOff(MemoryLog):
    """Its commands partition 1 cannot be reached for a while."""

    def __init__(self) -> None:
        super().__init__(2)
        self.fails = 0

    async def produce(self, topic: Topic, partition: int, record: NewRecord) -> int:
        """Refuse the first forward."""
        if topic is Topic.COMMANDS and partition == 1 and not self.fails:
            self.fails += 1
            raise LogUnavailableError(
                "expected an answer to produce, but there is none"
            )
        return await super().produce(topic, partition, record)


async def test_an_outcome_outlives_the_forward_that_failed_beside_it() -> None:
    log = CutOff()
    world = World(log=log)
    here, beside, there = named("i", 0), named("b", 0), named("i", 1)
    begun, gate = asyncio.Event(), asyncio.Event()
    runs: list[str] = []
    meanwhile: list[asyncio.Task[int]] = []

    async def waits(value: str) -> str:
        runs.append(value)
        begun.set()
        await gate.wait()
        return value

    def at_once(value: str) -> str:
        return value

    slow, quick = Flow("slow").then(waits).build(), Flow("quick").then(at_once).build()
    astray = {"command": "StartWorkflow", "instance_id": there, "workflow": "quick"}

    class Beside:
        """While the batch of another is in flight, both things happen."""

        def next(self, partition: int, batch: Sequence[NewRecord]) -> Fault:
            if not runs or meanwhile or partition or batch[0].key != beside.encode():
                return Fault()
            gate.set()
            record = NewRecord(key=None, value=json.dumps(astray).encode())
            meanwhile.append(
                asyncio.create_task(log.produce(Topic.COMMANDS, 0, record))
            )
            return Fault(lands_after_s=IN_FLIGHT_S)

    log.faults = Beside()
    async with world.worker(slow, quick):
        await world.command("StartWorkflow", here, workflow="slow", input="x")
        await asyncio.wait_for(begun.wait(), LIMIT_S)
        await world.command("StartWorkflow", beside, workflow="quick", input="y")
        assert await world.output(here) == "x"
    assert log.fails == 1
    assert runs == ["x"]
