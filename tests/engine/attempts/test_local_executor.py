"""The executor: whatever a task does becomes one outcome, and a slot comes back."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

import pytest

from sayiir_es.engine.attempts.attempt import State
from sayiir_es.engine.attempts.task_context import get_task_context
from tests.captured_logs import capture_logs
from tests.engine.attempts.executor_harness import LIMIT_S, ExecutorHarness

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from sayiir_es.engine.attempts.attempt import Attempt


async def double(value: str) -> str:
    return value * 2


def twice(value: str) -> str:
    return value * 2


def one(_: object) -> int:
    return 1


def waiter(hold: threading.Event) -> Callable[[object], bool]:
    def waits(_: object) -> bool:
        return hold.wait(LIMIT_S)

    return waits


def fails(_: object) -> None:
    raise ValueError("no")


async def leaves(_: object) -> None:
    raise SystemExit(3)


def interrupts(_: object) -> None:
    raise KeyboardInterrupt


async def cancels_itself(_: object) -> None:
    raise asyncio.CancelledError


async def stops(_: object) -> None:
    raise StopIteration


def big(_: object) -> str:
    return "x" * 2000


def unsayable(_: object) -> None:
    class OddError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    raise OddError


def shouts(_: object) -> None:
    raise ValueError("head" + "x" * 5_000_000 + "tail")


def opens(_: object) -> object:
    return {"a": [threading.Lock()]}


@pytest.mark.parametrize(
    ("function", "error_type", "retriable", "says"),
    [
        (fails, "ValueError", True, "ValueError: no"),
        (leaves, "SystemExit", True, "SystemExit: 3"),
        (interrupts, "KeyboardInterrupt", True, "KeyboardInterrupt"),
        (cancels_itself, "CancelledError", True, "CancelledError"),
        (stops, "RuntimeError", True, "StopIteration"),
        (big, "too_large", False, "1000 bytes"),
        (unsayable, "OddError", True, "could not be made"),
        (shouts, "ValueError", True, "head"),
        (opens, "encode", False, "lock (not JSON serializable) at $.a[0]"),
    ],
)
async def test_each_failure_is_told(
    function: Callable[..., object], error_type: str, *, retriable: bool, says: str
) -> None:
    harness = ExecutorHarness()
    outcome = await harness.run(function)
    assert outcome.result == "failed"
    assert outcome.error_type == error_type
    assert outcome.retriable is retriable
    assert says in outcome.error
    assert len(outcome.error.encode()) <= 300
    assert not harness.executor.running()
    await harness.executor.close()


async def test_an_input_that_does_not_decode_fails_for_good() -> None:
    harness = ExecutorHarness()
    outcome = await harness.run(double, b"{nope")
    assert (outcome.error_type, outcome.retriable) == ("decode", False)
    await harness.executor.close()


async def test_async_sync_and_awaitable_results_are_the_same_to_it() -> None:
    harness = ExecutorHarness()

    def lazy(value: str) -> object:
        return double(value)

    outputs = [
        (await harness.run(function)).output for function in (double, twice, lazy)
    ]
    assert outputs == [b'"inin"'] * 3
    await harness.executor.close()


async def test_blocked_threads_stop_nothing_else() -> None:
    harness = ExecutorHarness(slots=65)
    hold = threading.Event()

    blocked = [harness.start(waiter(hold)) for _ in range(64)]
    assert (await harness.run(double)).result == "completed"
    assert (await harness.run(one)).output == b"1"
    hold.set()
    for attempt in blocked:
        assert (await harness.outcome_of(attempt)).output == b"true"
    await harness.executor.close()


async def test_an_abandoned_thread_gives_its_slot_back_and_answers_late() -> None:
    harness = ExecutorHarness(slots=1)
    begun, hold = threading.Event(), threading.Event()

    def waits(_: object) -> bool:
        begun.set()
        return hold.wait(LIMIT_S)

    stuck = harness.start(waits)
    await asyncio.sleep(0)
    assert begun.wait(LIMIT_S)
    harness.executor.abandon(stuck, report=True)
    assert (await harness.run(one)).output == b"1"
    hold.set()
    assert (await harness.outcome_of(stuck)).output == b"true"
    await harness.executor.close()


async def test_what_was_abandoned_in_silence_never_answers() -> None:
    harness = ExecutorHarness(slots=1)
    attempt = harness.start(double)
    await asyncio.sleep(0)
    harness.executor.abandon(attempt, report=False)
    assert (await harness.run(double)).result == "completed"
    assert [name for name, _ in harness.outcomes] != [attempt.instance_id]
    assert len(harness.outcomes) == 1
    await harness.executor.close()


async def test_a_queued_job_is_withdrawn_and_never_starts() -> None:
    harness = ExecutorHarness(slots=1)
    hold = asyncio.Event()

    async def waits(_: object) -> None:
        await hold.wait()

    first = harness.start(waits)
    await asyncio.sleep(0)
    second = harness.start(double)
    assert harness.executor.withdraw(second)
    assert not harness.executor.withdraw(first)
    hold.set()
    await harness.outcome_of(first)
    assert len(harness.outcomes) == 1
    await harness.executor.close()


async def test_a_cancel_is_seen_in_the_context_and_ends_async_ones() -> None:
    harness = ExecutorHarness()
    seen: list[bool] = []
    begun = asyncio.Event()

    async def waits(_: object) -> None:
        context = get_task_context()
        assert context is not None
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(context.cancelled)

    attempt = harness.start(waits)
    await begun.wait()
    harness.executor.request_cancel(attempt, 0.01)
    assert (await harness.outcome_of(attempt)).result == "withdrawn"
    assert seen == [True]
    await harness.executor.close()


async def test_a_task_that_swallows_its_cancellation_still_completes() -> None:
    harness = ExecutorHarness()
    begun = asyncio.Event()

    async def stubborn(_: object) -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done anyway"
        return ""

    attempt = harness.start(stubborn)
    await begun.wait()
    harness.executor.request_cancel(attempt, 0.0)
    assert (await harness.outcome_of(attempt)).output == b'"done anyway"'
    await harness.executor.close()


async def test_a_thread_that_hangs_is_left_behind_after_the_grace_of_a_cancel() -> None:
    harness = ExecutorHarness(slots=1)
    begun, hold = threading.Event(), threading.Event()

    def hangs(_: object) -> bool:
        begun.set()
        return hold.wait(LIMIT_S)

    attempt = harness.start(hangs)
    await asyncio.sleep(0)
    assert begun.wait(LIMIT_S)
    harness.executor.request_cancel(attempt, 0.01)
    assert (await harness.outcome_of(attempt)).result == "withdrawn"
    assert not harness.executor.running()
    assert (await harness.run(one)).output == b"1"  # it has the slot
    hold.set()
    await harness.run(one)
    assert [name for name, _ in harness.outcomes].count(attempt.instance_id) == 1
    await harness.executor.close()


async def test_a_coroutine_that_never_ends_is_left_behind_after_a_second_grace() -> (
    None
):
    harness = ExecutorHarness(slots=1)
    begun, hold = asyncio.Event(), asyncio.Event()

    async def deaf(_: object) -> None:
        begun.set()
        while not hold.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await hold.wait()

    attempt = harness.start(deaf)
    await begun.wait()
    harness.executor.request_cancel(attempt, 0.01)
    assert (await harness.outcome_of(attempt)).result == "withdrawn"
    assert (await harness.run(one)).output == b"1"
    hold.set()
    await harness.run(one)
    assert [name for name, _ in harness.outcomes].count(attempt.instance_id) == 1
    await harness.executor.close()


@pytest.mark.parametrize("function", [leaves, interrupts])
async def test_a_helper_gets_the_interrupt_and_the_attempt_is_withdrawn(
    function: Callable[..., object],
) -> None:
    harness = ExecutorHarness(propagate=True)
    assert (await harness.run(function)).result == "withdrawn"
    assert isinstance(harness.executor.interrupted, SystemExit | KeyboardInterrupt)
    await harness.executor.close()


@pytest.fixture(autouse=True)
def no_thread_stays() -> Generator[None]:
    """Idle threads end when their executor is closed."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("sayiir-task-"):
            thread.join(LIMIT_S)
            assert not thread.is_alive()


async def test_threads_left_behind_beyond_the_limit_keep_their_slots() -> None:
    harness = ExecutorHarness(slots=2, threads_left_max=3)
    hold, begun = threading.Event(), threading.Semaphore(0)

    def sleeps(_: object) -> bool:
        begun.release()
        return hold.wait(LIMIT_S)

    stuck: list[Attempt] = []
    with capture_logs() as lines:
        for _ in range(5):  # each is timed out, and runs on
            stuck.append(harness.start(sleeps))
            await asyncio.sleep(0)
            assert begun.acquire(timeout=LIMIT_S)
            harness.executor.abandon(stuck[-1], report=True)
    # Three are free; two more have the slots. So attempts wait, and nothing begins.
    waiting = [harness.start(sleeps), harness.start(double)]
    await asyncio.sleep(0)
    assert [attempt.state for attempt in waiting] == [State.QUEUED] * 2
    (line,) = [line for line in lines if line["event"] == "executor.threads_exhausted"]
    assert "4 of 'a'" in line["reason"]
    hold.set()
    for attempt in (*stuck, *waiting):
        assert (await harness.outcome_of(attempt)).output in {b"true", b'"inin"'}
    assert (await harness.run(one)).output == b"1"
    await harness.executor.close()
