"""The executor: whatever a task does becomes one outcome, and a slot comes back."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.graph import TaskNode
from sayiir_es.core.limits import Limits
from sayiir_es.core.loop_result import LoopResult
from sayiir_es.engine.execution import Job
from sayiir_es.engine.local_executor import LocalExecutor
from sayiir_es.engine.task_context import get_task_context

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from sayiir_es.core.outcomes import Outcome

LIMIT_S = 10.0


class Desk:
    """Runs functions on an executor and collects what comes back."""

    def __init__(self, slots: int = 4, *, propagate: bool = False) -> None:
        self.executor = LocalExecutor(
            slots,
            worker_id="w1",
            limits=Limits(payload_bytes=1000, error_bytes=300),
            propagate_interrupts=propagate,
        )
        self.outcomes: list[tuple[str, Outcome]] = []
        self._news = asyncio.Event()
        self._number = 0

    def job(
        self,
        function: Callable[..., object],
        data: bytes = b'"in"',
        *,
        ends_loop: bool = False,
        metadata: str | None = None,
    ) -> Job:
        """A job that runs a function."""
        self._number += 1
        return Job(
            instance_id=f"i{self._number}",
            run=1,
            path="a",
            attempt=2,
            node=TaskNode(id="a"),
            function=function,
            input=data,
            workflow="w",
            workflow_metadata=metadata,
            ends_loop=ends_loop,
            worker="w1",
            deadline_at_ms=77,
            priority=3,
            queued_at_ms=0,
            granted=self.executor.start,
            deliver=self._deliver,
        )

    def start(self, function: Callable[..., object], data: bytes = b'"in"') -> Job:
        """Queue a job that starts when it has its slot."""
        job = self.job(function, data)
        self.executor.enqueue(job)
        return job

    async def outcome(
        self, function: Callable[..., object], data: bytes = b'"in"'
    ) -> Outcome:
        """Run a function and wait for its outcome."""
        job = self.start(function, data)
        return await self.of(job)

    async def of(self, job: Job) -> Outcome:
        """Wait for the outcome of a job."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                for name, outcome in self.outcomes:
                    if name == job.instance_id:
                        return outcome
                self._news.clear()
                await self._news.wait()

    def _deliver(self, job: Job, outcome: Outcome) -> None:
        self.outcomes.append((job.instance_id, outcome))
        self._news.set()


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


def giver(result: object) -> Callable[[object], object]:
    def gives(_: object) -> object:
        return result

    return gives


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
        (opens, "encode", False, "lock at $.a[0]"),
    ],
)
async def test_each_failure_is_told(
    function: Callable[..., object], error_type: str, *, retriable: bool, says: str
) -> None:
    desk = Desk()
    outcome = await desk.outcome(function)
    assert outcome.result == "failed"
    assert outcome.error_type == error_type
    assert outcome.retriable is retriable
    assert says in outcome.error
    assert len(outcome.error.encode()) <= 300
    assert desk.executor.running() == {}
    await desk.executor.close()


async def test_an_input_that_does_not_decode_fails_for_good() -> None:
    desk = Desk()
    outcome = await desk.outcome(double, b"{nope")
    assert (outcome.error_type, outcome.retriable) == ("decode", False)
    await desk.executor.close()


async def test_async_sync_and_awaitable_results_are_the_same_to_it() -> None:
    desk = Desk()

    def lazy(value: str) -> object:
        return double(value)

    outputs = [
        (await desk.outcome(function)).output for function in (double, twice, lazy)
    ]
    assert outputs == [b'"inin"'] * 3
    await desk.executor.close()


async def test_blocked_threads_stop_nothing_else() -> None:
    desk = Desk(slots=65)
    hold = threading.Event()

    blocked = [desk.start(waiter(hold)) for _ in range(64)]
    assert (await desk.outcome(double)).result == "completed"
    assert (await desk.outcome(one)).output == b"1"
    hold.set()
    for job in blocked:
        assert (await desk.of(job)).output == b"true"
    await desk.executor.close()


async def test_an_abandoned_thread_gives_its_slot_back_and_answers_late() -> None:
    desk = Desk(slots=1)
    hold = threading.Event()
    stuck = desk.start(waiter(hold))
    await asyncio.sleep(0)
    desk.executor.abandon(stuck, deliver=True)
    assert (await desk.outcome(one)).output == b"1"
    hold.set()
    assert (await desk.of(stuck)).output == b"true"
    await desk.executor.close()


async def test_what_was_abandoned_in_silence_never_answers() -> None:
    desk = Desk(slots=1)
    job = desk.start(double)
    await asyncio.sleep(0)
    desk.executor.abandon(job, deliver=False)
    assert (await desk.outcome(double)).result == "completed"
    assert [name for name, _ in desk.outcomes] != [job.instance_id]
    assert len(desk.outcomes) == 1
    await desk.executor.close()


async def test_a_queued_job_is_withdrawn_and_never_starts() -> None:
    desk = Desk(slots=1)
    hold = asyncio.Event()

    async def waits(_: object) -> None:
        await hold.wait()

    first = desk.start(waits)
    await asyncio.sleep(0)
    second = desk.start(double)
    assert desk.executor.withdraw(second)
    assert not desk.executor.withdraw(first)
    hold.set()
    await desk.of(first)
    assert len(desk.outcomes) == 1
    await desk.executor.close()


async def test_a_cancel_is_seen_in_the_context_and_ends_async_ones() -> None:
    desk = Desk()
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

    job = desk.start(waits)
    await begun.wait()
    desk.executor.request_cancel(job, 0.01)
    assert (await desk.of(job)).result == "withdrawn"
    assert seen == [True]
    await desk.executor.close()


async def test_a_task_that_swallows_its_cancellation_still_completes() -> None:
    desk = Desk()
    begun = asyncio.Event()

    async def stubborn(_: object) -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done anyway"
        return ""

    job = desk.start(stubborn)
    await begun.wait()
    desk.executor.request_cancel(job, 0.0)
    assert (await desk.of(job)).output == b'"done anyway"'
    await desk.executor.close()


@pytest.mark.parametrize("function", [leaves, interrupts])
async def test_a_helper_gets_the_interrupt_and_the_attempt_is_withdrawn(
    function: Callable[..., object],
) -> None:
    desk = Desk(propagate=True)
    assert (await desk.outcome(function)).result == "withdrawn"
    assert isinstance(desk.executor.interrupted, SystemExit | KeyboardInterrupt)
    await desk.executor.close()


async def test_contexts_do_not_leak_between_a_thousand_attempts() -> None:
    desk = Desk(slots=50)

    def key() -> str:
        context = get_task_context()
        assert context is not None
        assert context.attempt == 2
        assert context.deadline_at == 77
        assert context.workflow_metadata == {"tier": 1}
        return context.idempotency_key

    async def asynchronous(_: object) -> str:
        before = key()
        await asyncio.sleep(0)
        assert key() == before
        return before

    def synchronous(_: object) -> str:
        return key()

    jobs = [
        desk.job(asynchronous if number % 2 else synchronous, metadata='{"tier":1}')
        for number in range(1000)
    ]
    for job in jobs:
        desk.executor.enqueue(job)
    for job in jobs:
        expected = f'"{job.instance_id}/1/a"'.encode()
        assert (await desk.of(job)).output == expected
    assert get_task_context() is None
    await desk.executor.close()


@pytest.mark.parametrize(
    ("result", "loop", "output"),
    [
        (LoopResult.again(0), "again", b"0"),
        (LoopResult.done(None), "done", b"null"),
        ({"_loop": "done", "value": []}, "done", b"[]"),
    ],
)
async def test_what_ends_a_loops_body_says_how_it_goes_on(
    result: object, loop: str, output: bytes
) -> None:
    desk = Desk()
    job = desk.job(giver(result), ends_loop=True)
    desk.executor.enqueue(job)
    outcome = await desk.of(job)
    assert (outcome.loop, outcome.output) == (loop, output)
    await desk.executor.close()


async def test_anything_else_at_the_end_of_a_loops_body_fails_for_good() -> None:
    desk = Desk()
    job = desk.job(giver(5), ends_loop=True)
    desk.executor.enqueue(job)
    outcome = await desk.of(job)
    assert (outcome.error_type, outcome.retriable) == ("bad_loop_result", False)
    await desk.executor.close()


@pytest.fixture(autouse=True)
def no_thread_stays() -> Generator[None]:
    """Idle threads end when their executor is closed."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("sayiir-task-"):
            thread.join(LIMIT_S)
            assert not thread.is_alive()
