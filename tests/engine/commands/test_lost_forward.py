"""A command that cannot be forwarded ends a tenure, and loses nothing else."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.core.partitions import partition_of
from sayiir_es.log.memory.log import Fault, MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from tests.engine.harness import LIMIT_S, EngineHarness

if TYPE_CHECKING:
    from collections.abc import Sequence

IN_FLIGHT_S = 0.1


def id_on(prefix: str, partition: int) -> str:
    """An instance id that belongs to `partition` of two."""
    names = (f"{prefix}{number}" for number in range(100))
    return next(name for name in names if partition_of(name.encode(), 2) == partition)


class LogThatFailsOneForward(MemoryLog):
    """The first record to its commands partition 1 is refused."""

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
    log = LogThatFailsOneForward()
    harness = EngineHarness(log=log)
    slow_id, quick_id, distant_id = id_on("i", 0), id_on("b", 0), id_on("i", 1)
    started, gate = asyncio.Event(), asyncio.Event()
    runs: list[str] = []
    meanwhile: list[asyncio.Task[int]] = []

    async def waits(value: str) -> str:
        runs.append(value)
        started.set()
        await gate.wait()
        return value

    def at_once(value: str) -> str:
        return value

    slow, quick = Flow("slow").then(waits).build(), Flow("quick").then(at_once).build()
    misplaced = {
        "command": "StartWorkflow",
        "instance_id": distant_id,
        "workflow": "quick",
    }

    class FaultOnQuickBatch:
        """While the batch of the quick instance is in flight, two things happen.

        The slow task ends, and a command arrives that must be forwarded.
        """

        def next(self, partition: int, batch: Sequence[NewRecord]) -> Fault:
            if not runs or meanwhile or partition or batch[0].key != quick_id.encode():
                return Fault()
            gate.set()
            record = NewRecord(key=None, value=json.dumps(misplaced).encode())
            meanwhile.append(
                asyncio.create_task(log.produce(Topic.COMMANDS, 0, record))
            )
            return Fault(lands_after_s=IN_FLIGHT_S)

    log.faults = FaultOnQuickBatch()
    async with harness.worker(slow, quick):
        await harness.command("StartWorkflow", slow_id, workflow="slow", input="x")
        await asyncio.wait_for(started.wait(), LIMIT_S)
        await harness.command("StartWorkflow", quick_id, workflow="quick", input="y")
        assert await harness.output(slow_id) == "x"
    assert log.fails == 1
    assert runs == ["x"]
