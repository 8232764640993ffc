"""Commands that were deleted unread: told, and passed when somebody accepts that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.audit.rules.answers import AnswerRules
from sayiir_es.audit.verify.verify import verify_log
from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.model.events import CommandsLost
from sayiir_es.engine.definitions.accepted_loss import AcceptedLoss
from sayiir_es.engine.definitions.feed import DefinitionFeed
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.log.memory.log import MemoryLog, MemoryReader
from sayiir_es.log.port import Topic
from tests.engine.harness import LIMIT_S, EngineHarness

if TYPE_CHECKING:
    from sayiir_es.engine.worker import WorkerEngine
    from sayiir_es.log.port import Chunk

STEP_S = 0.01


async def step(value: int) -> int:
    return value


FLOW = Flow("short").then(step).build()


class SlowReader(MemoryReader):
    """A reader that waits where its log holds commands back."""

    log: SlowLog

    async def read(self, *, max_wait_s: float) -> Chunk | None:
        """Read on, once it may."""
        if self._next >= self.log.held_from:
            await self.log.is_quick.wait()
        return await super().read(max_wait_s=max_wait_s)


class SlowLog(MemoryLog):
    """A log whose commands a test holds back, from an offset on."""

    def __init__(self, *, held_from: int) -> None:
        super().__init__()
        self.held_from = held_from
        self.is_quick = asyncio.Event()

    async def reader(self, topic: Topic, partition: int, offset: int) -> MemoryReader:
        """A reader that begins at `offset`."""
        if topic is not Topic.COMMANDS:
            return await super().reader(topic, partition, offset)
        reader = SlowReader(self._topics, topic, partition, offset)
        reader.log = self
        return reader


async def until_refused(engine: WorkerEngine) -> str:
    async with asyncio.timeout(LIMIT_S):
        while 0 not in engine.refusals.by_partition:  # noqa: ASYNC110 - a state
            await asyncio.sleep(STEP_S)
    refusal = engine.refusals.by_partition[0]
    assert refusal.code == "commands_lost"
    return refusal.reason


async def accept(harness: EngineHarness, end_offset: int) -> None:
    loss = AcceptedLoss(end_offset=end_offset, accepted_by="ana@ops", reason="cut")
    await DefinitionFeed(harness.log, Registry()).accept_loss(0, loss)


async def lost_events(harness: EngineHarness) -> list[CommandsLost]:
    return [
        event.body
        for event in await harness.events(None)
        if isinstance(event.body, CommandsLost)
    ]


async def test_commands_deleted_while_no_worker_ran_are_passed_once_accepted() -> None:
    harness = EngineHarness()
    async with harness.worker(FLOW):
        await harness.command("StartWorkflow", "first", workflow="short", input=1)
        await harness.output("first")
    for name in ("lost-1", "lost-2", "kept"):
        await harness.command("StartWorkflow", name, workflow="short", input=2)
    harness.log.drop_before(Topic.COMMANDS, 0, 3)
    events_before = await harness.log.end_offset(Topic.EVENTS, 0)

    async with harness.worker(FLOW) as engine:
        reason = await until_refused(engine)
        assert "commands 1 to 2 were deleted before anybody read them" in reason
        assert "`sayiir-es partition accept-loss 0`" in reason
        # It claimed nothing: another worker may serve as well or as badly.
        assert await harness.log.end_offset(Topic.EVENTS, 0) == events_before

        await accept(harness, 2)  # not all of it
        await asyncio.sleep(STEP_S)
        await accept(harness, 3)
        assert await harness.output("kept") == 2
        assert engine.refusals.by_partition == {}
    (loss,) = await lost_events(harness)
    assert loss == CommandsLost(
        first_offset=1, end_offset=3, accepted_by="ana@ops", reason="cut"
    )
    assert await harness.kinds("lost-1") == []
    verdict = await verify_log(harness.log)
    assert verdict.violations == ()


async def test_commands_deleted_under_a_worker_that_is_behind_are_told() -> None:
    log = SlowLog(held_from=1)
    harness = EngineHarness(log=log)
    async with harness.worker(FLOW) as engine:
        await harness.command("StartWorkflow", "first", workflow="short", input=1)
        await harness.output("first")
        for name in ("lost-1", "lost-2", "lost-3"):
            offset = await harness.command(
                "StartWorkflow", name, workflow="short", input=2
            )
            harness.log.drop_before(Topic.COMMANDS, 0, offset + 1)
        log.is_quick.set()
        await until_refused(engine)
        await harness.command("StartWorkflow", "kept", workflow="short", input=3)
        await accept(harness, 4)
        assert await harness.output("kept") == 3
    (loss,) = await lost_events(harness)
    assert loss.end_offset == 4
    verdict = await verify_log(harness.log)
    assert verdict.violations == ()


async def test_an_event_of_a_loss_is_wrong_where_its_commands_are_there() -> None:
    """The checker holds what is said to be lost against the topic."""
    harness = EngineHarness()
    for name in ("lost", "kept"):
        await harness.command("StartWorkflow", name, workflow="short", input=2)
    whole = [record.offset for record in await harness.records(Topic.COMMANDS)]
    harness.log.drop_before(Topic.COMMANDS, 0, 1)
    await harness.log.open(create=True)
    await accept(harness, 1)
    async with harness.worker(FLOW):
        await harness.output("kept")
    rules = AnswerRules(0)
    previous = None
    for offset, event in enumerate(await harness.events(None)):
        decision = (event.instance_id, event.cause)
        rules.check(event, offset, begins=decision != previous or not event.cause)
        previous = decision
    violations = rules.take_commands(whole, len(whole), 0) + rules.finish()
    assert [violation.invariant for violation in violations] == ["I3"]
