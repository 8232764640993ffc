"""Commands that are not ours to decide: what becomes of the largest ones."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from sayiir_es.core.events import CommandDeadLettered
from sayiir_es.core.flow import Flow
from sayiir_es.engine.command_feed import CUT_LETTER_BYTES
from sayiir_es.log.batch_size import MAX_BATCH_BYTES
from sayiir_es.log.port import NewRecord, Topic
from tests.engine.world import World

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def echo() -> Callable[[str], Awaitable[str]]:
    async def run(value: str) -> str:
        return value

    return run


async def test_a_letter_that_does_not_fit_is_cut_and_the_partition_goes_on() -> None:
    world = World()
    noise = secrets.token_bytes(MAX_BATCH_BYTES - 64)
    async with world.worker(Flow("echo").then(echo()).build()):
        record = NewRecord(key=b"k", value=noise)
        offset = await world.log.produce(Topic.COMMANDS, 0, record)
        await world.command("StartWorkflow", workflow="echo", input="x")
        assert await world.output() == "x"
        events = await world.events(None)
    (letter,) = await world.records(Topic.DEAD_LETTERS)
    assert letter.key == f"0@{offset}".encode()
    assert letter.value == noise[:CUT_LETTER_BYTES]
    assert ("cut-from-bytes", str(len(noise)).encode()) in letter.headers
    told = [e.body for e in events if isinstance(e.body, CommandDeadLettered)]
    assert [body.dead_letter for body in told] == ["0@0"]
