"""Claiming a partition with a long history while other partitions are served."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.model.errors import FencedError
from sayiir_es.core.model.events import Event, PartitionClaimed
from sayiir_es.engine.owner.claiming import NEAR_EVENTS, Claimer
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.log.memory.log import MemoryLog, MemoryReader
from sayiir_es.log.port import Chunk, Topic
from tests.engine.harness import EngineHarness, event_of

INSTANCES = 500


class ReadAhead(MemoryReader):
    """A reader with chunks in memory, as after a large fetch."""

    chunks: tuple[Chunk, ...] = ()

    async def fetch(self, end: int) -> Self:
        """Read everything before `end` into memory."""
        chunks: list[Chunk] = []
        while end and (not chunks or chunks[-1].end < end):
            chunk = await super().read(max_wait_s=1)
            assert chunk is not None
            chunks.append(chunk)
        self.chunks = tuple(chunks)
        return self

    async def read(self, *, max_wait_s: float) -> Chunk | None:
        """Return what is in memory without a wait."""
        if not self.chunks:
            return await super().read(max_wait_s=max_wait_s)
        chunk, *later_chunks = self.chunks
        self.chunks = tuple(later_chunks)
        return chunk


class ReadAheadLog(MemoryLog):
    """A log whose events are read from the beginning without a wait."""

    async def reader(self, topic: Topic, partition: int, offset: int) -> MemoryReader:
        """A reader that begins at `offset`."""
        if topic is not Topic.EVENTS or offset:
            return await super().reader(topic, partition, offset)
        reader = ReadAhead(self._topics, topic, partition, offset)
        return await reader.fetch(await self.end_offset(topic, partition))


async def step(value: str) -> str:
    return value


SHORT = Flow("short").then(step).build()


def claim() -> Event:
    """A claim of another worker."""
    body = PartitionClaimed(owner="heir/1", build="test", next_command=0)
    return Event(claim=-1, instance_id="", run=0, sequence=0, at=0, cause="", body=body)


async def test_a_fold_of_a_long_history_gives_others_a_turn_behind_each_chunk() -> None:
    harness = EngineHarness(log=ReadAheadLog())
    async with harness.worker(SHORT):
        for number in range(INSTANCES):
            await harness.command(
                "StartWorkflow", f"i{number}", workflow="short", input=""
            )
        await harness.until_kind("WorkflowCompleted", f"i{INSTANCES - 1}")

    turns, turns_at_chunks = 0, list[int]()

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def folded() -> None:
        turns_at_chunks.append(turns)

    beside = asyncio.create_task(others())
    claimer = Claimer(harness.log, MemoryStore(), 0, event=claim, folded=folded)
    await claimer.claim("heir/1")
    beside.cancel()
    assert len(turns_at_chunks) > 2
    assert len(set(turns_at_chunks)) == len(turns_at_chunks)


async def test_a_claim_comes_when_the_fold_is_near_the_end_of_a_log_that_grows() -> (
    None
):
    harness = EngineHarness(log=ReadAheadLog())
    store, folded_at_claim = MemoryStore(), list[int]()
    grown = 0

    async def folded() -> None:
        """The owner before serves on: it writes much while the history is folded."""
        nonlocal grown
        if grown == 2:
            return
        grown += 1
        for number in range(INSTANCES):
            await harness.command(
                "StartWorkflow", f"{grown}-{number}", workflow="short", input=""
            )
        await harness.until_kind("WorkflowCompleted", f"{grown}-{INSTANCES - 1}")

    def event() -> Event:
        folded_at_claim.append(store.position.offset)
        return claim()

    async with harness.worker(SHORT):
        await harness.command("StartWorkflow", workflow="short", input="")
        await harness.until_kind("WorkflowCompleted")
        claimer = Claimer(harness.log, store, 0, event=event, folded=folded)
        with suppress(FencedError):  # the other one claims again at once
            await claimer.claim("heir/1")
        records = await harness.records()
    assert grown == 2
    claimed_at = next(r.offset for r in records if event_of(r).body == claim().body)
    assert claimed_at - folded_at_claim[0] <= NEAR_EVENTS
