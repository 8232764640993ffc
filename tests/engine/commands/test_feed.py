"""Commands that are redirected: the largest ones, and forwards that fail."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.core.model.events import CommandDeadLettered
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.commands.feed import CUT_LETTER_BYTES, CommandFeed
from sayiir_es.log.batch_size import MAX_BATCH_BYTES
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.commands import read_origin
from tests.engine.harness import EngineHarness

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def echo() -> Callable[[str], Awaitable[str]]:
    async def run(value: str) -> str:
        return value

    return run


async def test_a_letter_that_does_not_fit_is_cut_and_the_partition_goes_on() -> None:
    harness = EngineHarness()
    noise = secrets.token_bytes(MAX_BATCH_BYTES - 64)
    async with harness.worker(Flow("echo").then(echo()).build()):
        record = NewRecord(key=b"k", value=noise)
        offset = await harness.log.produce(Topic.COMMANDS, 0, record)
        await harness.command("StartWorkflow", workflow="echo", input="x")
        assert await harness.output() == "x"
        events = await harness.events(None)
    (letter,) = await harness.records(Topic.DEAD_LETTERS)
    assert letter.key == f"0@{offset}".encode()
    assert letter.value == noise[:CUT_LETTER_BYTES]
    assert ("cut-from-bytes", str(len(noise)).encode()) in letter.headers
    bodies = [e.body for e in events if isinstance(e.body, CommandDeadLettered)]
    assert [body.dead_letter for body in bodies] == ["0@0"]


class LogThatFailsOnce(MemoryLog):
    """A memory log of two partitions on which forwards fail once, from one on.

    As with a producer: records that wait together with the one that fails, fail with
    it; records that are produced later are accepted again.
    """

    def __init__(self, fails_at: int) -> None:
        super().__init__(partitions=2)
        self._produces_left = fails_at
        self._silent = False
        self.broken = False

    def _answer_again(self) -> None:
        self._silent = False

    async def produce(self, topic: Topic, partition: int, record: NewRecord) -> int:
        """Write a record, unless the log is silent at the moment."""
        if topic is Topic.COMMANDS and read_origin(record.headers) is not None:
            self._produces_left -= 1
            if self._produces_left == 0:
                self.broken = self._silent = True
                asyncio.get_running_loop().call_soon(self._answer_again)
            if self._silent:
                raise LogUnavailableError("expected an answer, but none came")
        return await super().produce(topic, partition, record)


@pytest.mark.parametrize("fails_at", [1, 7, 500, 1300])
async def test_a_forward_that_failed_is_repeated_and_none_behind_it_overtakes(
    fails_at: int,
) -> None:
    log = LogThatFailsOnce(fails_at)
    await log.open(create=True)
    ids = [f"i{number}" for number in range(3000)]
    foreign_ids = [name for name in ids if partition_of(name.encode(), 2) == 1]
    for name in foreign_ids:
        body = b'{"command":"CancelWorkflow","instance_id":"%s"}' % name.encode()
        await log.produce(Topic.COMMANDS, 0, NewRecord(key=None, value=body))
    arrived: list[int] = []
    offset = 0
    for _ in range(3):
        feed = CommandFeed(
            log,
            0,
            offset,
            origins={},
            prefetch=prefetch_nothing,
            wake=asyncio.Event().set,
        )
        feed.start()
        async with asyncio.timeout(10):
            while offset < len(foreign_ids):
                if not feed.items:
                    await asyncio.sleep(0)
                    continue
                redirect = feed.take().redirect
                assert redirect is not None
                await asyncio.wait([redirect])
                if redirect.exception() is not None:
                    break
                offset += 1
        await feed.close()
    assert log.broken
    reader = await log.reader(Topic.COMMANDS, 1, 0)
    while len(arrived) < await log.end_offset(Topic.COMMANDS, 1):
        chunk = await reader.read(max_wait_s=1)
        assert chunk is not None
        origins = [read_origin(record.headers) for record in chunk.records]
        arrived += [origin[1] for origin in origins if origin is not None]
    highest = -1
    for origin_offset in arrived:
        assert origin_offset <= highest + 1, "a hole would be taken for answered"
        highest = max(highest, origin_offset)
    assert highest == len(foreign_ids) - 1


async def prefetch_nothing(_: object) -> None:
    """No command needs anything."""
