"""Threads for sync tasks: enough, never too many, none lost by what runs there."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING

import pytest

from sayiir_es.engine.attempts.task_threads import Call, TaskThreads

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

LIMIT_S = 10.0


class Bench:
    """Threads, and what came back from them."""

    def __init__(self) -> None:
        self.threads = TaskThreads(asyncio.get_running_loop())
        self.done: list[Call] = []
        self.done_on: set[threading.Thread] = set()
        self._news = asyncio.Event()

    def call(self, function: Callable[[], object]) -> Call:
        """A call that tells this bench when it ended."""
        return Call(function, copy_context(), self._ended)

    def submit(self, function: Callable[[], object]) -> Call:
        """Run a function."""
        call = self.call(function)
        self.threads.submit(call)
        return call

    async def end_of(self, call: Call) -> Call:
        """Wait until `done` was called for it."""
        async with asyncio.timeout(LIMIT_S):
            while call not in self.done:
                self._news.clear()
                await self._news.wait()
        return call

    def _ended(self, call: Call) -> None:
        self.done.append(call)
        self.done_on.add(threading.current_thread())
        self._news.set()


def task_threads() -> list[threading.Thread]:
    found = threading.enumerate()
    return [thread for thread in found if thread.name.startswith("sayiir-task-")]


def join_all() -> None:
    for thread in task_threads():
        thread.join(LIMIT_S)
        assert not thread.is_alive()


@pytest.fixture(autouse=True)
def no_thread_stays() -> Generator[None]:
    """Threads end when they are closed and their calls ended."""
    yield
    join_all()


async def test_a_call_runs_on_a_thread_and_is_done_on_the_loop() -> None:
    bench = Bench()
    ran_on = (await bench.end_of(bench.submit(threading.current_thread))).result
    assert ran_on not in {threading.current_thread(), None}
    assert bench.done_on == {threading.current_thread()}
    bench.threads.close()


async def test_one_call_after_the_other_takes_one_thread() -> None:
    bench = Bench()
    seen = set[object]()
    for _ in range(500):
        seen.add((await bench.end_of(bench.submit(threading.get_ident))).result)
        bench.done.clear()
    assert len(seen) == 1
    assert bench.threads.count == 1
    bench.threads.close()


async def test_no_call_waits_behind_another() -> None:
    bench = Bench()
    for width in (1, 2, 8, 32, 8):
        together = threading.Barrier(width, timeout=LIMIT_S)
        calls = [bench.submit(together.wait) for _ in range(width)]
        for call in calls:
            assert (await bench.end_of(call)).error is None
    assert bench.threads.count == 32
    bench.threads.close()


async def test_threads_are_never_more_than_the_calls_at_a_time() -> None:
    threads = TaskThreads(asyncio.get_running_loop())
    seen = set[object]()
    left = 2_000
    over = asyncio.Event()

    def ended(call: Call) -> None:
        nonlocal left
        seen.add(call.result)
        left -= 1
        if left >= 4:
            threads.submit(Call(threading.get_ident, copy_context(), ended))
        if left == 0:
            over.set()

    for _ in range(4):
        threads.submit(Call(threading.get_ident, copy_context(), ended))
    async with asyncio.timeout(LIMIT_S):
        await over.wait()
    assert threads.count <= 4
    assert len(seen) <= 4
    threads.close()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
async def test_no_exception_ends_a_thread(error: type[BaseException]) -> None:
    bench = Bench()
    before = await bench.end_of(bench.submit(threading.get_ident))

    def raises() -> None:
        raise error

    assert isinstance((await bench.end_of(bench.submit(raises))).error, error)
    after = await bench.end_of(bench.submit(threading.get_ident))
    assert before.result == after.result
    bench.threads.close()


async def test_an_abandoned_thread_is_replaced_and_ends_with_its_call() -> None:
    bench = Bench()
    begun, hold = threading.Event(), threading.Event()

    def waits() -> object:
        begun.set()
        hold.wait(LIMIT_S)
        return threading.current_thread()

    stuck = bench.submit(waits)
    assert begun.wait(LIMIT_S)
    assert bench.threads.abandon(stuck)
    assert not bench.threads.abandon(stuck)
    assert (bench.threads.count, bench.threads.abandoned) == (0, 1)
    assert (await bench.end_of(bench.submit(int))).result == 0
    assert (bench.threads.count, bench.threads.abandoned) == (1, 1)
    hold.set()
    left_behind = (await bench.end_of(stuck)).result
    assert isinstance(left_behind, threading.Thread)
    left_behind.join(LIMIT_S)
    assert not left_behind.is_alive()
    assert (bench.threads.count, bench.threads.abandoned) == (1, 0)
    bench.threads.close()


async def test_abandoning_what_has_ended_leaves_no_thread_behind() -> None:
    bench = Bench()
    call = bench.submit(int)
    bench.threads.close()
    join_all()  # it has ended, and the loop has not heard of it yet
    assert not bench.threads.abandon(call)
    assert bench.threads.abandoned == 0
    await bench.end_of(call)


async def test_a_call_abandoned_before_it_begins_never_runs() -> None:
    bench = Bench()
    await bench.end_of(bench.submit(int))
    ran = list[int]()
    before = sys.getswitchinterval()
    sys.setswitchinterval(LIMIT_S)  # the free thread has no turn in between
    try:
        call = bench.submit(lambda: ran.append(1))
        assert not bench.threads.abandon(call)
    finally:
        sys.setswitchinterval(before)
    assert (await bench.end_of(call)).phase == "dropped"
    assert isinstance(call.error, asyncio.CancelledError)
    assert (ran, bench.threads.count, bench.threads.abandoned) == ([], 1, 0)
    bench.threads.close()


async def test_what_ended_meanwhile_wakes_the_loop_once_and_none_pays_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    loop = asyncio.get_running_loop()
    wake_ups = list[object]()
    raised = list[object]()
    loop.set_exception_handler(lambda _, told: raised.append(told["exception"]))
    wake = loop.call_soon_threadsafe

    def counted(callback: Callable[[], object]) -> asyncio.Handle:
        wake_ups.append(callback)
        return wake(callback)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)

    def broken(_: Call) -> None:
        raise ValueError("of the one who asked")

    for _ in range(8):
        bench.threads.submit(Call(int, copy_context(), broken))
    good = [bench.submit(int) for _ in range(8)]
    bench.threads.close()
    join_all()
    for call in good:
        await bench.end_of(call)
    assert len(wake_ups) == 1
    assert len(raised) == 8


async def test_a_machine_without_threads_fails_the_call_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()

    def refuses(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuses)
        refused = await bench.end_of(bench.submit(int))
    assert isinstance(refused.error, RuntimeError)
    assert bench.threads.count == 0
    assert (await bench.end_of(bench.submit(int))).result == 0
    bench.threads.close()


async def test_after_the_close_calls_are_dropped() -> None:
    bench = Bench()
    bench.threads.close()
    call = await bench.end_of(bench.submit(int))
    assert (call.phase, call.result) == ("dropped", None)
    assert task_threads() == []
