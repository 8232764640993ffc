"""The log in memory: its faults, virtual time, and event loops that share it."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from sayiir_es.core.model.errors import AppNotFoundError, UncertainAppendError
from sayiir_es.log.memory.log import Fault, MemoryLog
from sayiir_es.log.port import Topic
from tests.log.conformance import batch, read_all, read_records, record, values

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from sayiir_es.log.port import NewRecord

LOST = Fault(lands_after_s=None, limit_s=5)
LATE = Fault(lands_after_s=15, limit_s=5)
ANSWER_LOST = Fault(answered_after_s=None, limit_s=5)
SLOW = Fault(lands_after_s=1, answered_after_s=2, limit_s=5)


class FaultList:
    """Faults in the order of the list, then none."""

    def __init__(self, *faults: Fault) -> None:
        self._faults = list(faults)
        self.appends: list[tuple[int, int]] = []

    def next(self, partition: int, batch: Sequence[NewRecord]) -> Fault:
        """Return the next one."""
        self.appends.append((partition, len(batch)))
        return self._faults.pop(0) if self._faults else Fault()


class _Jump:
    """In place of a selector: to wait moves the clock."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def select(self, timeout: float | None) -> list[object]:
        """Move the clock by `timeout` seconds."""
        assert timeout is not None, "nothing is ready and nothing scheduled"
        self.now_s += timeout
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop that moves its own time; it cannot be woken from outside."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = self._jump = _Jump()

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._jump.now_s

    def _process_events(self, _: object) -> None:
        pass


def in_virtual_time(work: Coroutine[Any, Any, None]) -> float:
    """Run until nothing is scheduled any more; return the virtual seconds it took."""
    loop = VirtualLoop()
    try:
        loop.run_until_complete(work)
        return loop.time()
    finally:
        loop.close()


async def open_log(*faults: Fault) -> MemoryLog:
    log = MemoryLog(faults=FaultList(*faults))
    await log.open(create=True)
    return log


def test_a_request_that_is_lost_never_lands() -> None:
    async def work() -> None:
        log = await open_log(LOST)
        appender = await log.appender(0)
        with pytest.raises(UncertainAppendError):
            await appender.append(batch("a", 2))
        assert asyncio.get_running_loop().time() == 5
        with pytest.raises(UncertainAppendError):
            await appender.append(batch("b", 1))
        await asyncio.sleep(100)
        assert await log.end_offset(Topic.EVENTS, 0) == 0

    assert in_virtual_time(work()) == 105


def test_an_append_lands_after_its_writer_gave_up_and_its_reader_learns_of_it() -> None:
    async def work() -> None:
        log = await open_log(LATE)
        displaced = await log.appender(0)
        with pytest.raises(UncertainAppendError):
            await displaced.append(batch("late", 2))
        await displaced.close()
        rightful = await log.appender(0)
        assert await rightful.append(batch("mine", 1)) == 0
        reader = await log.reader(Topic.EVENTS, 0, 0)
        assert values(await read_records(reader, 3)) == [
            "mine:0/1",
            "late:0/2",
            "late:1/2",
        ]
        assert asyncio.get_running_loop().time() == 15
        assert await rightful.append(batch("mine", 1)) == 3

    in_virtual_time(work())


def test_a_claim_lands_after_its_writer_gave_up_and_after_another_claim() -> None:
    async def work() -> None:
        log = await open_log(LATE)
        with pytest.raises(UncertainAppendError):
            await (await log.appender(0)).append([record(b"claim of A", key=b"")])
        claim = await (await log.appender(0)).append([record(b"claim of B", key=b"")])
        await asyncio.sleep(20)
        assert claim == 0
        assert await read_all(log) == ["claim of B", "claim of A"]

    in_virtual_time(work())


def test_an_append_whose_answer_is_lost_is_in_the_log() -> None:
    async def work() -> None:
        log = await open_log(ANSWER_LOST)
        with pytest.raises(UncertainAppendError):
            await (await log.appender(0)).append(batch("a", 2))
        assert await read_all(log) == ["a:0/2", "a:1/2"]

    in_virtual_time(work())


def test_a_slow_append_is_acknowledged_late_and_seen_before() -> None:
    async def work() -> None:
        log = await open_log(SLOW)
        loop = asyncio.get_running_loop()
        appender = await log.appender(0)
        append = asyncio.create_task(appender.append(batch("a", 1)))
        await read_records(await log.reader(Topic.EVENTS, 0, 0), 1)
        assert loop.time() == 1
        assert await append == 0
        assert loop.time() == 3
        assert await appender.append(batch("b", 1)) == 1

    in_virtual_time(work())


def test_a_batch_that_was_sent_lands_though_its_sender_was_cancelled() -> None:
    async def work() -> None:
        log = await open_log(SLOW)
        appender = await log.appender(0)
        append = asyncio.create_task(appender.append(batch("a", 2)))
        await asyncio.sleep(0.5)
        append.cancel()
        await asyncio.gather(append, return_exceptions=True)
        del appender
        await asyncio.sleep(1)
        assert await read_all(log) == ["a:0/2", "a:1/2"]

    in_virtual_time(work())


def test_faults_are_drawn_once_for_each_append_and_can_be_switched_off() -> None:
    async def work() -> None:
        faults = FaultList(LOST)
        log = MemoryLog(2, faults=faults)
        await log.open(create=True)
        with pytest.raises(UncertainAppendError):
            await (await log.appender(1)).append(batch("a", 3))
        await (await log.appender(0)).append(batch("b", 1))
        log.faults = None
        await (await log.appender(0)).append(batch("c", 1))
        assert faults.appends == [(1, 3), (0, 1)]

    in_virtual_time(work())


def test_a_reader_waits_in_virtual_time() -> None:
    async def work() -> None:
        log = await open_log()
        reader = await log.reader(Topic.EVENTS, 0, 0)
        assert await reader.read(max_wait_s=3_600) is None

    assert in_virtual_time(work()) == 3_600


def test_its_clock_and_identity_may_be_given() -> None:
    async def work() -> None:
        log = MemoryLog(now_ms=lambda: 42, log_id="fixed")
        assert (await log.open(create=True)).cluster_id == "fixed"
        await (await log.appender(0)).append(batch("a", 1))
        (record,) = await read_records(await log.reader(Topic.EVENTS, 0, 0), 1)
        assert record.timestamp_ms == 42

    in_virtual_time(work())


async def test_two_logs_are_not_the_same() -> None:
    one, other = MemoryLog(), MemoryLog()
    assert await one.open(create=True) != await other.open(create=True)


async def test_a_log_outlives_the_close_of_one_user() -> None:
    log = await open_log()
    await (await log.appender(0)).append(batch("a", 1))
    await log.close()
    assert await read_all(log) == ["a:0/1"]


async def test_a_log_that_nobody_made_is_not_found() -> None:
    with pytest.raises(AppNotFoundError):
        await MemoryLog().open(create=False)


def test_loops_in_two_threads_share_a_log() -> None:
    log = MemoryLog()
    rounds = 300

    async def echo() -> None:
        reader = await log.reader(Topic.COMMANDS, 0, 0)
        appender = await log.appender(0)
        for expected in range(rounds):
            (command,) = await read_records(reader, 1)
            assert command.offset == expected
            await appender.append([record(command.value or b"")])

    async def ask() -> None:
        await log.open(create=True)
        reader = await log.reader(Topic.EVENTS, 0, 0)
        for number in range(rounds):
            await log.produce(Topic.COMMANDS, 0, record(str(number).encode()))
            assert values(await read_records(reader, 1)) == [str(number)]

    thread = threading.Thread(target=lambda: asyncio.run(echo()))
    thread.start()
    asyncio.run(ask())
    thread.join(10)
    assert not thread.is_alive()


async def test_a_wake_for_a_loop_that_is_closed_is_dropped() -> None:
    log = await open_log()
    closed_loop = asyncio.new_event_loop()

    async def wait() -> None:
        reader = await log.reader(Topic.EVENTS, 0, 0)
        await reader.read(max_wait_s=60)

    def run() -> None:
        task = closed_loop.create_task(wait())
        closed_loop.run_until_complete(asyncio.sleep(0))
        # As in a killed process: the task never runs again.
        tasks.append(task)
        closed_loop.close()

    tasks: list[asyncio.Task[None]] = []
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert await (await log.appender(0)).append(batch("a", 1)) == 0


@pytest.mark.parametrize("briefly", [True, False])
async def test_who_owns_for_its_calls_hears_who_waits(*, briefly: bool) -> None:
    log = await open_log()
    holder, candidate = log.owner_lock(), log.owner_lock()
    assert holder.try_acquire(briefly=True)
    by_anybody = asyncio.create_task(holder.wanted(briefly=True))
    by_a_worker = asyncio.create_task(holder.wanted())
    waiting = asyncio.create_task(candidate.acquire(briefly=briefly))
    await asyncio.wait_for(by_anybody, 5)
    await asyncio.sleep(0)
    assert by_a_worker.done() is not briefly
    holder.release()
    await asyncio.wait_for(waiting, 5)
    by_a_worker.cancel()
