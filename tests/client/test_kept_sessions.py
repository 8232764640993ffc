"""The sessions that coroutines open by a URL: shared between calls, and closed."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, InstanceAlreadyExistsError, aio, task
from sayiir_es.core.model.partition_events import PartitionClaimed
from sayiir_es.log.embedded.lock import OwnerLock
from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.port import Topic
from sayiir_es.wire.events import decode_event
from tests.cli.sample_workflows import doubling

if TYPE_CHECKING:
    from pathlib import Path

OPENED_THREADS = ("sayiir-commits", "sayiir-reads")

_entered = asyncio.Event()


@task
async def wait_long(value: int) -> int:
    _entered.set()
    await asyncio.sleep(3_600)
    return value


WAITING_LONG = Flow("waiting-long").then(wait_long).build()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def own_threads() -> set[threading.Thread]:
    """The threads of this process that serve open logs."""
    alive = threading.enumerate()
    return {thread for thread in alive if thread.name.startswith(OPENED_THREADS)}


def are_left(before: set[threading.Thread], count: int = 0) -> bool:
    """Whether so many threads serve logs that did not `before`; those that end may."""
    end_s = time.monotonic() + 10
    while len(own_threads() - before) != count and time.monotonic() < end_s:
        time.sleep(0.01)
    return len(own_threads() - before) == count


def is_free(path: Path) -> bool:
    """Whether nobody owns the log at a path."""
    lock = OwnerLock(path)
    try:
        return lock.try_acquire()
    finally:
        lock.release()


async def claims_on(path: Path) -> int:
    """How often the log at a path was claimed."""
    log = EmbeddedLog(path)
    await log.open(create=False)
    try:
        reader = await log.reader(Topic.EVENTS, 0, 0)
        chunk = await reader.read(max_wait_s=0)
    finally:
        await log.close()
    assert chunk is not None
    events = [decode_event(record.value or b"") for record in chunk.records]
    return sum(isinstance(event.body, PartitionClaimed) for event in events)


async def test_calls_that_follow_each_other_share_one(path: Path) -> None:
    url = f"file:{path}"
    for number in range(3):
        status = await aio.run_durable_workflow(doubling, f"i-{number}", 2, url)
        assert status.output == 4
    await aio.aclose()
    assert await claims_on(path) == 1


async def test_calls_beside_each_other_share_one(path: Path) -> None:
    url = f"file:{path}"
    calls = [aio.run_durable_workflow(doubling, f"i-{n}", n, url) for n in range(20)]
    statuses = await asyncio.gather(*calls)
    assert [status.output for status in statuses] == [2 * n for n in range(20)]
    await aio.aclose()
    assert await claims_on(path) == 1


async def test_two_names_of_one_file_share_one(path: Path) -> None:
    path.parent.joinpath("folder").mkdir()
    other = path.parent / "folder" / ".." / path.name
    await aio.run_durable_workflow(doubling, "a", 2, f"file:{path}")
    with pytest.raises(InstanceAlreadyExistsError):
        await aio.run_durable_workflow(
            doubling, "a", 2, f"file:{other}", conflict_policy="fail"
        )
    await aio.aclose()
    assert await claims_on(path) == 1


async def test_one_that_nobody_uses_is_closed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sayiir_es.client.backends.kept.KEPT_S", 0.0)
    before = own_threads()
    await aio.run_durable_workflow(doubling, "a", 2, f"file:{path}")
    async with asyncio.timeout(10):
        while own_threads() - before:  # noqa: ASYNC110 (threads tell nobody)
            await asyncio.sleep(0.01)
    assert is_free(path)
    status = await aio.run_durable_workflow(doubling, "b", 2, f"file:{path}")
    assert status.output == 4  # opened again
    await aio.aclose()


async def test_aclose_closes_what_no_call_uses(path: Path) -> None:
    before = own_threads()
    await aio.run_durable_workflow(doubling, "a", 2, f"file:{path}")
    _entered.clear()
    running = asyncio.create_task(
        aio.run_durable_workflow(WAITING_LONG, "b", 2, f"file:{path}.other")
    )
    await _entered.wait()
    await aio.aclose()
    assert are_left(before, len(OPENED_THREADS))  # those of the call
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await aio.aclose()
    assert are_left(before)


def test_the_end_of_the_loop_closes_them(path: Path) -> None:
    before = own_threads()
    for number in range(3):
        status = asyncio.run(
            aio.run_durable_workflow(doubling, f"i-{number}", 2, f"file:{path}")
        )
        assert status.output == 4
        assert are_left(before)
    assert is_free(path)
