"""Commands that come in faster than they are decided stay in the log."""

from __future__ import annotations

import asyncio

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.engine.commands.read_ahead import BYTES_MAX, COMMANDS_MAX, ReadAhead
from sayiir_es.log.memory.topics import CHUNK_BYTES_MAX
from tests.captured_logs import capture_logs
from tests.engine.harness import EngineHarness
from tests.engine.slow_log import SlowLog

INPUT_BYTES = 500 * 1024
STARTS = 60


async def settle() -> None:
    for _ in range(500):
        await asyncio.sleep(0)


async def test_a_burst_of_large_starts_waits_in_the_log() -> None:
    log = SlowLog()
    harness = EngineHarness(log=log)
    idle = Flow("idle").wait_for_signal("go").build()
    async with harness.worker(idle) as engine:
        for number in range(STARTS):
            await harness.command(
                "StartWorkflow", f"i{number}", workflow="idle", input="x" * INPUT_BYTES
            )
        await settle()
        inputs = engine.owners[0]._inputs  # pyright: ignore[reportPrivateUsage]
        assert inputs is not None
        held = sum(item.payload for item in inputs.feed.items)
        assert BYTES_MAX // 2 < held < BYTES_MAX + CHUNK_BYTES_MAX + 2 * INPUT_BYTES
        assert len(inputs.feed.items) < STARTS
        log.gate.set()
        await harness.until_kind("SignalAwaited", f"i{STARTS - 1}")


async def test_what_is_held_back_is_logged_once_until_all_is_decided() -> None:
    ahead = ReadAhead(3)
    with capture_logs() as lines:
        await fill(ahead, 1, BYTES_MAX)
        ahead.remove()
        await fill(ahead, 1, BYTES_MAX)  # the first is still to be decided
        assert [line["event"] for line in lines] == ["commands.held_back"]
        while ahead.size:
            ahead.remove()
        await fill(ahead, COMMANDS_MAX, 1)
    assert [line["partition"] for line in lines] == [3, 3]


async def fill(ahead: ReadAhead, commands: int, size: int) -> None:
    for _ in range(commands):
        ahead.add(size)
    waiting = asyncio.ensure_future(ahead.wait_for_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    ahead.add(1)
