"""Commands that can no longer be read: what is noticed, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.model.errors import LogError, LogUnavailableError
from sayiir_es.log.memory.log import MemoryLog, MemoryReader
from sayiir_es.log.port import Topic
from tests.engine.harness import EngineHarness, event_of

if TYPE_CHECKING:
    from sayiir_es.core.authoring.flow import Workflow
    from sayiir_es.log.port import Chunk

INSTANCES = 20
STEPS = 10


async def step(value: int) -> int:
    return value + 1


def long_flow() -> Workflow:
    flow = Flow("long")
    for number in range(STEPS):
        flow = flow.then(step, name=f"s{number}")
    return flow.build()


class BreakableReader(MemoryReader):
    """A reader of a log that fails while the log says so."""

    def __init__(
        self, log: BreakableLog, topic: Topic, partition: int, offset: int
    ) -> None:
        topics = log._topics  # pyright: ignore[reportPrivateUsage]
        super().__init__(topics, topic, partition, offset)
        self._log = log

    async def read(self, *, max_wait_s: float) -> Chunk | None:
        """The next records, or the error that is due."""
        end = self._log.ends.pop(0) if self._log.ends else None
        if end is not None:
            raise end
        return await super().read(max_wait_s=max_wait_s)


class BreakableLog(MemoryLog):
    """A memory log whose next reads of commands raise what `ends` says, if anything."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[LogError | None] = []
        self.silent_definitions = 0

    async def end_offset(self, topic: Topic, partition: int) -> int:
        """The end; that of the definitions is not told for some time."""
        if topic is Topic.DEFINITIONS and self.silent_definitions:
            self.silent_definitions -= 1
            raise LogUnavailableError("expected definitions, but silence")
        return await super().end_offset(topic, partition)

    async def reader(self, topic: Topic, partition: int, offset: int) -> MemoryReader:
        """A reader that may break."""
        if topic is Topic.COMMANDS:
            return BreakableReader(self, topic, partition, offset)
        return await super().reader(topic, partition, offset)


async def claims_of(harness: EngineHarness) -> list[int]:
    """The places of the claims among the events."""
    events = [event_of(record) for record in await harness.records()]
    return [n for n, event in enumerate(events) if event.kind == "PartitionClaimed"]


async def start_all(harness: EngineHarness) -> None:
    for number in range(INSTANCES):
        await harness.command("StartWorkflow", f"i{number}", workflow="long", input=0)


async def test_a_dead_reader_is_noticed_while_there_is_always_more_to_decide() -> None:
    """Not only when the owner sleeps: it never does until all instances have ended."""
    log = BreakableLog()
    harness = EngineHarness(log=log)
    await log.open(create=True)
    await start_all(harness)
    log.ends = [None, LogError("expected commands, but a reader that died")]
    async with harness.worker(long_flow()):
        await harness.until_kind("WorkflowCompleted", f"i{INSTANCES - 1}")
        events = [event_of(record) for record in await harness.records()]
    first, second = await claims_of(harness)
    ended = [n for n, e in enumerate(events) if e.kind == "WorkflowCompleted"]
    assert first < second < ended[0], "noticed when there was nothing else to do"


async def test_a_log_that_does_not_answer_for_some_reads_ends_no_tenure() -> None:
    log = BreakableLog()
    harness = EngineHarness(log=log)
    async with harness.worker(long_flow()):
        log.ends = [LogUnavailableError("expected commands, but silence")] * 3
        await harness.command("StartWorkflow", "i", workflow="long", input=0)
        await harness.command("StartWorkflow", "j", workflow="long", input=1)
        assert await harness.output("i") == STEPS
        assert await harness.output("j") == STEPS + 1
        assert log.ends == []
        assert await claims_of(harness) == [0]


async def test_each_tenure_decides_what_was_read_before_its_reader_died() -> None:
    """A reader that always dies behind one chunk does not stop the partition."""
    log = BreakableLog()
    harness = EngineHarness(log=log)
    async with harness.worker(long_flow()):
        for number in range(3):
            log.ends = [LogError("expected commands, but a reader that died")]
            await harness.command(
                "StartWorkflow", f"i{number}", workflow="long", input=0
            )
            assert await harness.output(f"i{number}") == STEPS
        assert len(await claims_of(harness)) == 4


async def test_definitions_that_cannot_be_read_end_no_tenure() -> None:
    log = BreakableLog()
    harness = EngineHarness(log=log)
    async with harness.worker(long_flow()):
        log.silent_definitions = 2
        await harness.command("StartWorkflow", "i", workflow="nobody's", input=0)
        await harness.command("StartWorkflow", "j", workflow="long", input=0)
        await harness.until_kind("CommandRejected", "i")
        assert await harness.output("j") == STEPS
        assert log.silent_definitions == 0
        assert await claims_of(harness) == [0]
