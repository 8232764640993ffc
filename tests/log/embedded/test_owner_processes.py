"""Several real processes on one file: who owns it, and how they hear of commits."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.log.embedded import threads
from sayiir_es.log.embedded.commit_turn import CommitTurn
from sayiir_es.log.embedded.fifo import PresenceFifo
from sayiir_es.log.embedded.lock import OwnerLock
from sayiir_es.log.embedded.log import EmbeddedLog
from sayiir_es.log.port import NewRecord, Topic
from tests.log.log_process import LIMIT_S, LogProcess

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

TAKEOVER_S = 0.05
"""What is promised of a kill of the owner."""

WAKE_S = 0.001
"""What is promised of a commit, as long as the machine has a core for the reader."""


@pytest.fixture
async def start(tmp_path: Path) -> AsyncGenerator[Callable[[], Awaitable[LogProcess]]]:
    """A function that starts a process which has the log of the test open."""
    processes: list[LogProcess] = []

    async def start_one() -> LogProcess:
        processes.append(await LogProcess.start(tmp_path / "log.db"))
        return processes[-1]

    yield start_one
    for process in processes:
        await process.kill()


async def until_wanted(owner: LogProcess) -> None:
    """Wait until the owner knows that somebody waits: so does everybody else."""
    await owner.do("wait_until_wanted")


# --- kill -9 --------------------------------------------------------------------------


async def test_the_next_owner_owns_within_50_ms_of_a_kill(
    start: Callable[[], Awaitable[LogProcess]],
) -> None:
    candidates = [await start() for _ in range(6)]
    owner = candidates.pop()
    assert await owner.do("own")
    waiting = {process.tell("wait_to_own"): process for process in candidates}
    takeovers_s: list[float] = []
    while waiting:
        await until_wanted(owner)
        killed_at_s = time.monotonic()
        owner.process.kill()
        done, _ = await asyncio.wait(
            waiting, timeout=LIMIT_S, return_when=asyncio.FIRST_COMPLETED
        )
        (owned,) = done
        takeovers_s.append(owned.result() - killed_at_s)
        owner = waiting.pop(owned)
    # On a busy machine most wait for a core.
    assert min(takeovers_s) < TAKEOVER_S, takeovers_s


async def test_messages_pass_again_when_the_owner_was_killed(
    start: Callable[[], Awaitable[LogProcess]], tmp_path: Path
) -> None:
    log, first, second = EmbeddedLog(tmp_path / "log.db"), await start(), await start()
    await log.open(create=True)
    assert await first.do("own")
    topics = log.request_topics
    replies = await topics.subscribe(Topic.REPLIES, 0)
    owned = second.tell("wait_to_own")
    await until_wanted(first)
    await first.kill()
    async with asyncio.timeout(LIMIT_S):
        await owned
    await second.do("subscribe", topic="requests", partition=0)
    topics.post(Topic.REQUESTS, 0, NewRecord(key=None, value=b"?"))
    (question,) = await second.do("read", subscription=0)
    assert bytes.fromhex(question["value"]) == b"?"
    reply: dict[str, object] = {"key": None, "value": b"!".hex(), "headers": []}
    await second.do("post", topic="replies", partition=0, record=reply)
    async with asyncio.timeout(LIMIT_S):
        (answer,) = await replies.read()
    assert answer.value == b"!"
    await log.close()


async def test_a_killed_owner_without_a_successor_leaves_a_log_to_use(
    start: Callable[[], Awaitable[LogProcess]], tmp_path: Path
) -> None:
    owner, reader = await start(), await start()
    assert await owner.do("own")
    reading = reader.tell("read_command", offset=0)
    await owner.kill()
    log = EmbeddedLog(tmp_path / "log.db")
    await log.open(create=False)
    await log.produce(Topic.COMMANDS, 0, NewRecord(key=b"i", value=b"a"))
    async with asyncio.timeout(LIMIT_S):
        values, _ = await reading
    assert values == ["a"]
    lock = OwnerLock(tmp_path / "log.db")
    assert lock.try_acquire()  # a stale socket is in nobody's way
    assert await log.request_topics.open(create=True)
    lock.release()
    await log.close()


# --- who goes first -------------------------------------------------------------------


async def test_a_worker_that_waits_goes_before_calls_without_a_pause(
    start: Callable[[], Awaitable[LogProcess]], tmp_path: Path
) -> None:
    path = tmp_path / "log.db"
    worker = await start()
    calls, many_calls, workers = 0, asyncio.Event(), PresenceFifo(path)

    async def call_again_and_again() -> None:
        nonlocal calls
        while True:
            lock = OwnerLock(path)
            is_wanted = workers.is_anybody_present()
            if lock.try_acquire(briefly=True):
                assert not is_wanted
                calls += 1
                if calls == 10:
                    many_calls.set()
                await asyncio.sleep(0.002)
                lock.release()
            await asyncio.sleep(0)

    callers = [asyncio.create_task(call_again_and_again()) for _ in range(3)]
    async with asyncio.timeout(LIMIT_S):
        await many_calls.wait()
        await worker.do("wait_to_own")
    for caller in callers:
        caller.cancel()
    ends = await asyncio.gather(*callers, return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.CancelledError}, ends
    assert not OwnerLock(path).try_acquire()


async def test_a_call_that_waits_lets_a_worker_go_first(
    start: Callable[[], Awaitable[LogProcess]],
) -> None:
    owner, caller, worker = await start(), await start(), await start()
    assert await owner.do("own")
    called = caller.tell("wait_to_own", briefly=True)
    owned = worker.tell("wait_to_own")
    await until_wanted(owner)
    await owner.do("release")
    async with asyncio.timeout(LIMIT_S):
        await owned
    assert not called.done()
    await worker.do("release")
    async with asyncio.timeout(LIMIT_S):
        await called


async def test_a_call_does_not_wait_for_ever_for_a_worker_that_was_stopped(
    start: Callable[[], Awaitable[LogProcess]],
) -> None:
    owner, caller, worker = await start(), await start(), await start()
    assert await owner.do("own")
    called = caller.tell("wait_to_own", briefly=True)
    worker.tell("wait_to_own")
    await until_wanted(owner)
    worker.process.send_signal(signal.SIGSTOP)
    await owner.do("release")
    async with asyncio.timeout(LIMIT_S):
        await called


# --- commits --------------------------------------------------------------------------


@pytest.mark.parametrize("owner", ["producer", "reader", "third", "nobody"])
async def test_a_reader_hears_at_once_of_the_commit_of_another_process(
    start: Callable[[], Awaitable[LogProcess]], owner: str
) -> None:
    producer, reader, third = await start(), await start(), await start()
    owners = {"producer": producer, "reader": reader, "third": third}
    if owner in owners:
        assert await owners[owner].do("own")
    latencies_s: list[float] = []
    for number in range(30):
        reading = reader.tell("read_command", offset=number)
        await reader.do("open_topics", create=False)  # it has begun to read
        committed_at_s = await producer.do("produce", value=str(number))
        async with asyncio.timeout(LIMIT_S):
            values, read_at_s = await reading
        assert values == [str(number)]
        latencies_s.append(read_at_s - committed_at_s)
    # On a busy machine most wait for a core.
    assert sorted(latencies_s)[len(latencies_s) // 8] < WAKE_S, latencies_s


async def test_no_commit_is_missed_while_owners_come_and_go(
    start: Callable[[], Awaitable[LogProcess]],
) -> None:
    producer, reader, *others = [await start() for _ in range(4)]
    count = 150

    async def own_in_turn() -> None:
        while True:
            for process in (*others, reader, producer):
                await process.do("wait_to_own")
                await process.do("release")

    owning = asyncio.create_task(own_in_turn())
    for number in range(count):
        reading = reader.tell("read_command", offset=number)
        await producer.do("produce", value=str(number))
        async with asyncio.timeout(LIMIT_S):
            values, _ = await reading
        assert values == [str(number)]
    owning.cancel()
    await asyncio.gather(owning, return_exceptions=True)


# --- turns to commit ------------------------------------------------------------------


async def test_processes_that_commit_without_a_pause_do_so_in_turn(
    start: Callable[[], Awaitable[LogProcess]],
) -> None:
    processes = [await start() for _ in range(3)]
    begin_s = time.monotonic() + 1.0  # when each has heard of it
    end_s = begin_s + 2.0
    async with asyncio.timeout(LIMIT_S):
        times = await asyncio.gather(
            *(
                process.tell("produce_many", begin_s=begin_s, end_s=end_s)
                for process in processes
            )
        )
    shares = [len(acknowledged) for acknowledged in times]
    assert min(shares) > max(shares) / 3, shares


async def test_a_turn_that_does_not_come_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "BUSY_LIMIT_S", 0.1)
    path = tmp_path / "log.db"
    log, stopped = EmbeddedLog(path), CommitTurn(path)
    await log.open(create=True)
    record = NewRecord(key=b"i", value=b"a")
    assert stopped.take(LIMIT_S)
    for _ in range(2):
        with pytest.raises(LogUnavailableError, match="kept it locked"):
            await log.produce(Topic.COMMANDS, 0, record)
    assert await log.end_offset(Topic.COMMANDS, 0) == 0
    stopped.give_back()
    monkeypatch.setattr(threads, "BUSY_LIMIT_S", LIMIT_S)
    assert await log.produce(Topic.COMMANDS, 0, record) == 0
    assert stopped.take(LIMIT_S)
    stopped.give_back()
    stopped.close()
    await log.close()
