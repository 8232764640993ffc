"""Origins that nobody forwarded: in a header, and in the log of an earlier build."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.core.model.events import CommandRejected, Event, PartitionClaimed
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.commands import origins
from sayiir_es.engine.commands.origins import Origins
from sayiir_es.engine.owner.tenure import to_record
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Record, Topic
from sayiir_es.wire.commands import write_origin
from tests.engine.harness import EngineHarness

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

FAR = 999_999_999_999_999_999
HERE = [f"i{n}" for n in range(60) if partition_of(f"i{n}".encode(), 2) == 0]
"""Instances of partition 0 of two."""


def echo(value: str) -> str:
    return value


FLOW = Flow("echo").then(echo).build()


@asynccontextmanager
async def app(log: MemoryLog | None = None) -> AsyncGenerator[EngineHarness]:
    harness = EngineHarness(log=log or MemoryLog(partitions=2))
    async with harness.worker(FLOW):
        yield harness


async def start(
    harness: EngineHarness, name: str, partition: int, *headers: tuple[str, bytes]
) -> None:
    value = b'{"command":"StartWorkflow","workflow":"echo","input":"x"}'
    record = NewRecord(key=name.encode(), value=value, headers=headers)
    await harness.log.produce(Topic.COMMANDS, partition, record)


def forged(*pairs: tuple[int, int]) -> list[tuple[tuple[str, bytes], ...]]:
    return [write_origin(pair) for pair in pairs]


@pytest.mark.parametrize(
    "headers",
    forged((1, FAR), (1, 1), (0, 3), (2, 0), (9_999_999_999, 1)),
)
async def test_an_origin_that_nobody_forwarded_silences_no_forward(
    headers: tuple[tuple[str, bytes], ...],
) -> None:
    first, *others = HERE[:6]
    async with app() as harness:
        await start(harness, first, 0, *headers)
        assert await harness.output(first) == "x"
        for name in others:
            await start(harness, name, 1)
        for name in others:
            assert await harness.output(name) == "x"
        position = (await harness.folded()).position
    assert dict(position.origins) == {1: len(others) - 1}


async def test_what_stands_on_the_wrong_partition_is_nobodys_forward() -> None:
    """Its forward has its own place as its origin, whatever its header says."""
    async with app() as harness:
        await start(harness, HERE[0], 0)
        await start(harness, HERE[1], 1, *write_origin((0, 0)))
        await start(harness, HERE[2], 1)
        for name in HERE[:3]:
            assert await harness.output(name) == "x"
        position = (await harness.folded()).position
    assert dict(position.origins) == {1: 1}


async def test_a_repeated_forward_is_a_duplicate_as_before() -> None:
    async with app() as harness:
        await start(harness, HERE[0], 1)
        assert await harness.output(HERE[0]) == "x"
        await start(harness, HERE[0], 0, *write_origin((1, 0)))
        events = await harness.until_kind("CommandAcknowledged", HERE[0])
    assert [event.kind for event in events].count("WorkflowStarted") == 1


def event(offset: int, cause: str, body: CommandRejected | PartitionClaimed) -> Event:
    return Event(
        claim=-1 if offset == 0 else 0,
        instance_id="",
        run=0,
        sequence=0,
        at=1,
        cause=cause,
        body=body,
    )


async def test_a_log_with_origins_that_were_believed_folds_and_is_mended() -> None:
    """As an earlier build wrote it: origins of no partition, and of no record."""
    log = MemoryLog(partitions=2)
    await log.open(create=True)
    refused = CommandRejected(command="c", command_id="c", code="bad", message="m")
    causes = [f"command:0@{n}<{n}@{FAR}" for n in range(1, 40)]
    claimed = PartitionClaimed(owner="old/1", build="old", next_command=0)
    appender = await log.appender(0)
    events = [
        event(0, "", claimed),
        *(event(n, cause, refused) for n, cause in enumerate(causes, 1)),
    ]
    await appender.append([to_record(each) for each in events])
    for _ in range(40):
        await log.produce(Topic.COMMANDS, 0, NewRecord(key=None, value=b""))
    harness = EngineHarness(log=log)
    assert dict((await harness.folded()).position.origins) == {1: FAR}
    async with harness.worker(FLOW):
        await start(harness, HERE[0], 1)
        await start(harness, HERE[1], 1)
        assert await harness.output(HERE[0]) == "x"
        assert await harness.output(HERE[1]) == "x"
        assert dict((await harness.folded()).position.origins) == {1: 1}
        await start(harness, HERE[0], 0, *write_origin((1, 0)))
        await harness.until_kind("CommandAcknowledged", HERE[0])


class CountingLog(MemoryLog):
    """Counts how often the end of commands partition 1 is read; fails `fails` times."""

    def __init__(self, fails: int = 0) -> None:
        super().__init__(partitions=2)
        self.ends = 0
        self.fails = fails

    async def end_offset(self, topic: Topic, partition: int) -> int:
        """The end, or no answer."""
        if (topic, partition) == (Topic.COMMANDS, 1):
            self.ends += 1
            if self.ends <= self.fails:
                raise LogUnavailableError("expected an answer, but none came")
        return await super().end_offset(topic, partition)


def records(pairs: Sequence[tuple[int, int]]) -> list[Record]:
    return [
        Record(
            offset=offset,
            key=b"k",
            value=b"",
            headers=write_origin(pair),
            timestamp_ms=0,
        )
        for offset, pair in enumerate(pairs)
    ]


async def test_one_end_is_read_for_a_chunk_and_kept() -> None:
    log = CountingLog()
    await log.open(create=True)
    for _ in range(30):
        await log.produce(Topic.COMMANDS, 1, NewRecord(key=b"k", value=b""))
    checker = Origins(log, 0, {})
    chunk = records([(1, n) for n in range(40)])
    await checker.look_up(chunk)
    assert [checker.checked(record) is not None for record in chunk] == [
        n < 30 for n in range(40)
    ]
    assert log.ends == 1
    await checker.look_up(chunk[:30])
    assert log.ends == 1


async def test_an_end_that_cannot_be_read_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only commands wait: an unchecked one could count twice, or silence others."""
    monkeypatch.setattr(origins, "RETRY_S", 0.0)
    log = CountingLog(fails=3)
    await log.open(create=True)
    await log.produce(Topic.COMMANDS, 1, NewRecord(key=b"k", value=b""))
    checker, chunk = Origins(log, 0, {}), records([(1, 0), (1, 1)])
    async with asyncio.timeout(10):
        await checker.look_up(chunk)
    assert [checker.checked(record) for record in chunk] == [(1, 0), None]
    assert log.ends == 4
