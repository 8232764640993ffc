"""Forks whose source is read beside the feed: what goes on meanwhile, and what ends it.

Fork and source stand on two partitions; reading the source's can be held back.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, task
from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.core.model.events import CommandDeferred, CommandRejected
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.worker_settings import FORK_READ_LIMIT_S
from sayiir_es.log.memory.log import MemoryLog, MemoryReader
from sayiir_es.log.port import Topic
from tests.engine.commands.test_source_history import check, fork
from tests.engine.harness import LIMIT_S, EngineHarness, event_of

if TYPE_CHECKING:
    from sayiir_es.core.model.events import Event
    from sayiir_es.log.port import Chunk

HERE, THERE = 0, 1
FIRST_EVENTS = 5
"""A claim, and what a workflow of one task leaves."""


def named(partition: int, prefix: str) -> str:
    """An id that begins so, on that partition of two."""
    return next(
        name
        for name in (f"{prefix}{number}" for number in range(100))
        if partition_of(name.encode(), 2) == partition
    )


SOURCE, COPY = named(THERE, "source"), named(HERE, "copy")


class HeldReader(MemoryReader):
    """Reads nothing while its log holds it back."""

    def __init__(self, log: HeldLog, topic: Topic, partition: int, offset: int) -> None:
        topics = log._topics  # pyright: ignore[reportPrivateUsage]
        super().__init__(topics, topic, partition, offset)
        self._log = log
        self._is_held = (topic, partition, offset) == (Topic.EVENTS, THERE, 0)

    async def read(self, *, max_wait_s: float) -> Chunk | None:
        """The next records, once they are not held back; or the error that is due."""
        if self._is_held:
            await self._log.gate.wait()
            if self._log.errors:
                raise self._log.errors.pop()
        return await super().read(max_wait_s=max_wait_s)


class HeldLog(MemoryLog):
    """A log of two partitions; the events of one are read while its gate is open."""

    def __init__(self) -> None:
        super().__init__(2)
        self.gate = asyncio.Event()
        self.gate.set()
        self.errors: list[Exception] = []

    async def reader(self, topic: Topic, partition: int, offset: int) -> MemoryReader:
        """A reader that may be held back."""
        return HeldReader(self, topic, partition, offset)


class Forks(EngineHarness):
    """A harness whose log holds the source's events back."""

    def __init__(self, *, fork_read_s: float = FORK_READ_LIMIT_S) -> None:
        self.held = HeldLog()
        super().__init__(log=self.held, fork_read_s=fork_read_s)

    async def begin(self) -> None:
        """Let the source end, and hold its events back."""
        await self.command("StartWorkflow", SOURCE, workflow="w", input=1)
        reader = await self.log.reader(Topic.EVENTS, THERE, 0)
        async with asyncio.timeout(LIMIT_S):
            read = 0
            while read < FIRST_EVENTS:
                chunk = await reader.read(max_wait_s=LIMIT_S)
                read = read if chunk is None else chunk.end
        await reader.close()
        self.held.gate.clear()

    async def ask(self, new_id: str = COPY, **fields: object) -> str:
        """Ask for a fork; returns the cause of its answer."""
        command = {"source_instance_id": SOURCE, "source_sequence": 2} | fields
        offset = await self.command("ForkWorkflow", new_id, **command)
        return f"command:{HERE}@{offset}"

    async def answer(self, cause: str, new_id: str = COPY) -> Event:
        """The first event of an answer."""
        events = await self.until(
            lambda events: any(event.cause == cause for event in events), new_id
        )
        return next(event for event in events if event.cause == cause)

    async def until_deferred(self, count: int) -> list[Event]:
        """Wait until so many forks were deferred."""
        events = await self.until(
            lambda events: sum(e.kind == "CommandDeferred" for e in events) >= count, ""
        )
        return [event for event in events if event.kind == "CommandDeferred"]


@task
async def twice(value: int) -> int:
    return value * 2


FLOW = Flow("w").then(twice).build()


def code_of(event: Event) -> str:
    assert isinstance(event.body, CommandRejected), event
    assert event.body.message.startswith("expected ")
    return event.body.code


async def test_commands_behind_a_fork_are_decided_while_its_source_is_read() -> None:
    harness, other = Forks(), named(HERE, "other")
    async with harness.worker(FLOW):
        await harness.begin()
        cause = await harness.ask()
        await harness.command("StartWorkflow", other, workflow="w", input=4)
        assert await harness.output(other) == 8
        (deferred,) = await harness.until_deferred(1)
        assert isinstance(deferred.body, CommandDeferred)
        assert (deferred.cause, deferred.body.source_instance_id) == (cause, SOURCE)
        assert await harness.kinds(COPY) == []
        assert list((await harness.folded()).position.deferred) == [1]
        harness.held.gate.set()
        assert (await harness.answer(cause)).kind == "WorkflowForked"
        assert await harness.output(COPY) == 2
        assert not (await harness.folded()).position.deferred
    await check(harness.log)


async def test_a_new_owner_reads_again_though_the_command_is_gone() -> None:
    harness = EngineHarness()
    async with harness.worker(FLOW):
        await harness.command("StartWorkflow", workflow="w", input=1)
        await harness.output()
        await fork(harness, 2)
        assert await harness.output("copy") == 2
        kinds = [event_of(record).kind for record in await harness.records()]
    copy = await harness.copy_of_first(kinds.index("CommandDeferred") + 1)
    copy.log.drop_before(Topic.COMMANDS, 0, 2)
    async with copy.worker(FLOW):
        assert await copy.output("copy") == 2
        assert not (await copy.folded()).position.deferred
    await check(copy.log)


@pytest.mark.parametrize(
    ("fields", "seen"),
    [
        ({"source_instance_id": "nobody"}, "there is none"),
        ({"source_sequence": 99}, "the last has 4"),
    ],
)
async def test_a_source_that_the_store_knows_better_is_refused_unread(
    fields: dict[str, object], seen: str
) -> None:
    harness = EngineHarness()
    async with harness.worker(FLOW):
        await harness.command("StartWorkflow", workflow="w", input=1)
        await harness.output()
        rejection = await fork(harness, 1, "copy", **fields)
        assert code_of(rejection) == "not_found"
        assert isinstance(rejection.body, CommandRejected)
        assert rejection.body.message.endswith(seen)
        assert "CommandDeferred" not in await harness.kinds("")


async def test_a_source_that_is_nowhere_on_another_partition_is_not_found() -> None:
    harness = Forks()
    async with harness.worker(FLOW):
        await harness.begin()
        cause = await harness.ask(source_instance_id=named(THERE, "nobody"))
        await harness.until_deferred(1)
        harness.held.gate.set()
        assert code_of(await harness.answer(cause)) == "not_found"
    await check(harness.log)


async def test_so_many_forks_wait_and_one_more_is_told_to_come_later() -> None:
    harness, limit = Forks(), DEFAULT_LIMITS.deferred_commands
    async with harness.worker(FLOW):
        await harness.begin()
        causes = [
            await harness.ask(named(HERE, f"copy-{number}-"))
            for number in range(limit + 1)
        ]
        late = await harness.answer(causes[-1], named(HERE, f"copy-{limit}-"))
        assert code_of(late) == "busy"
        assert len(await harness.until_deferred(limit)) == limit
        harness.held.gate.set()
        for number, cause in enumerate(causes[:-1]):
            new_id = named(HERE, f"copy-{number}-")
            assert (await harness.answer(cause, new_id)).kind == "WorkflowForked"
        again = await harness.ask(named(HERE, f"copy-{limit}-"))
        answer = await harness.answer(again, named(HERE, f"copy-{limit}-"))
        assert answer.kind == "WorkflowForked"
    await check(harness.log)


async def test_a_source_that_takes_too_long_ends_its_fork() -> None:
    harness = Forks(fork_read_s=0.05)
    async with harness.worker(FLOW):
        await harness.begin()
        rejection = await harness.answer(await harness.ask())
        assert code_of(rejection) == "busy"
        assert isinstance(rejection.body, CommandRejected)
        assert "within 0.05 s" in rejection.body.message
        harness.held.gate.set()
        assert (await harness.answer(await harness.ask())).kind == "WorkflowForked"
    await check(harness.log)


async def test_an_error_that_nobody_foresaw_is_the_forks_alone() -> None:
    harness = Forks()
    async with harness.worker(FLOW):
        await harness.begin()
        harness.held.errors.append(ValueError("no"))
        cause = await harness.ask()
        harness.held.gate.set()
        assert code_of(await harness.answer(cause)) == "internal"
        assert (await harness.answer(await harness.ask())).kind == "WorkflowForked"
    await check(harness.log)


async def test_a_log_that_does_not_answer_is_asked_again() -> None:
    harness = Forks()
    async with harness.worker(FLOW):
        await harness.begin()
        harness.held.errors += [LogUnavailableError("silence") for _ in range(3)]
        cause = await harness.ask()
        harness.held.gate.set()
        assert (await harness.answer(cause)).kind == "WorkflowForked"
        assert harness.held.errors == []


@pytest.mark.parametrize(
    "command",
    [
        {"name": "StartWorkflow", "workflow": "w", "input": 3},
        {"name": "SendSignal", "signal": "go", "payload": 1},
    ],
)
async def test_what_begins_the_instance_meanwhile_wins(
    command: dict[str, object],
) -> None:
    harness = Forks()
    name = str(command.pop("name"))
    async with harness.worker(FLOW):
        await harness.begin()
        cause = await harness.ask()
        offset = await harness.command(name, COPY, **command)
        await harness.answer(f"command:{HERE}@{offset}")
        harness.held.gate.set()
        assert code_of(await harness.answer(cause)) == "already_exists"
    await check(harness.log)


async def test_a_fork_that_is_sent_again_is_answered_once() -> None:
    harness = Forks()
    async with harness.worker(FLOW):
        await harness.begin()
        causes = [await harness.ask(command_id="once") for _ in range(2)]
        await harness.until_deferred(2)
        causes.append(await harness.ask(command_id="other"))
        harness.held.gate.set()
        kinds = [(await harness.answer(cause)).kind for cause in causes]
        assert sorted(kinds) == [
            "CommandAcknowledged",
            "CommandRejected",
            "WorkflowForked",
        ]
        assert kinds[2] == "CommandRejected"
    await check(harness.log)


async def test_an_owner_with_a_deferred_fork_is_not_idle() -> None:
    harness = Forks()
    async with harness.worker(FLOW) as engine:
        await harness.begin()
        cause = await harness.ask()
        await harness.until_deferred(1)
        owner = engine.owners[HERE]
        assert not owner.idle
        harness.held.gate.set()
        await harness.answer(cause)
        await harness.output(COPY)
        async with asyncio.timeout(LIMIT_S):
            await owner.quiet.wait()
        assert owner.idle
