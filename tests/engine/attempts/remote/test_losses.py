"""Attempts elsewhere whose executors fall silent, and new owners of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, get_task_context, task
from sayiir_es.core.model.events import (
    AttemptRestarted,
    OutcomeRejected,
    RetryRecorded,
    TaskFailed,
)
from tests.engine.attempts.remote.orders import (
    bodies,
    handed_out,
    paying,
    speaker,
)
from tests.engine.attempts.remote.speaker import Speaker, virtual_harness
from tests.engine.test_membership import claim

if TYPE_CHECKING:
    from collections.abc import Callable


async def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds that no event tells of."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (as above)
            await asyncio.sleep(0.02)


async def for_s(seconds: float, act: Callable[[], None]) -> None:
    """Do something every tenth of a second, for so long."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        act()
        await asyncio.sleep(0.1)


async def test_a_silent_executor_loses_its_attempt_and_its_outcome_is_late() -> None:
    harness = virtual_harness(lease_ms=600)
    silent, other = speaker(harness, "silent"), speaker(harness, "other")
    async with harness.worker(paying()), silent.reading(), other.reading():
        silent.offer()
        await harness.command("StartWorkflow", workflow="orders", input=7)
        first = await silent.attempt()
        other.offer()
        second = await other.attempt()
        await silent.tell(first, b'"late"')
        events = await harness.until_kind("OutcomeRejected")
        assert bodies(events, OutcomeRejected) == [
            OutcomeRejected(path="pay", attempt=1, reason="late")
        ]
        assert bodies(events, AttemptRestarted) == [
            AttemptRestarted(path="pay", attempt=1, restarts=1)
        ]
        silent.progress(first)
        notice = await silent.notice()
        assert (notice.reason, notice.token) == ("lost", first.token)
        await other.tell(second)
        assert await harness.output() == "done"


async def test_progress_keeps_an_attempt() -> None:
    harness = virtual_harness(lease_ms=600)
    async with handed_out(harness) as (executor, attempt):

        def tell_of_it() -> None:
            executor.progress(attempt)
            executor.offer()

        await for_s(1.8, tell_of_it)
        await executor.tell(attempt)
        assert await harness.output() == "done"
        assert "AttemptRestarted" not in await harness.kinds()


async def test_progress_in_anothers_name_takes_nothing_from_it() -> None:
    harness = virtual_harness()
    async with handed_out(harness) as (executor, attempt):
        executor.progress(replace(attempt, secret=bytes(16)))
        executor.progress(replace(attempt, instance_id="none"))
        notice = await executor.notice()
        assert notice.instance_id == "none"
        assert len(executor.records) == 2
        await executor.tell(attempt)
        assert await harness.output() == "done"


async def test_lost_and_begun_by_nobody_it_is_taken_again_by_who_has_it() -> None:
    harness = virtual_harness(lease_ms=400)
    async with harness.worker(paying()) as worker, speaker(harness).reading() as one:
        one.offer()
        await harness.command("StartWorkflow", workflow="orders", input=7)
        attempt = await one.attempt()
        leases = worker.owners[0].dispatcher.leases
        await wait_for(lambda: not leases.elsewhere)
        one.progress(attempt)
        await wait_for(lambda: leases.elsewhere == 1)
        await one.tell(attempt)
        assert await harness.output() == "done"
        assert "AttemptRestarted" not in await harness.kinds()


async def test_a_cancel_is_told_and_behind_twice_the_grace_it_counts_no_more() -> None:
    harness = virtual_harness()
    async with handed_out(harness) as (executor, attempt):
        await harness.command("CancelWorkflow")
        notice = await executor.notice()
        assert (notice.reason, notice.grace_ms) == ("cancel", 50)
        await harness.until_kind("WorkflowCancelled")
        await executor.tell(attempt)
        await harness.until_kind("OutcomeRejected")


async def test_a_pause_is_told_and_what_runs_ends_as_it_does_here() -> None:
    harness = virtual_harness()
    async with handed_out(harness) as (executor, attempt):
        await harness.command("PauseWorkflow")
        assert (await executor.notice()).reason == "pause"
        await executor.tell(attempt)
        await harness.until_kind("WorkflowPaused")
        await harness.command("UnpauseWorkflow")
        assert await harness.output() == "done"


async def test_its_deadline_is_judged_here_and_told() -> None:
    @task(execute="remote", timeout=0.3)
    def pay(value: int) -> int:
        return value

    harness = virtual_harness()
    flow = Flow("orders").then(pay).build()
    async with handed_out(harness, flow) as (executor, attempt):
        assert attempt.timeout_ms is not None
        assert 0 < attempt.timeout_ms <= 300
        events = await harness.until_kind("TaskFailed")
        (failed,) = bodies(events, TaskFailed)
        assert isinstance(failed, TaskFailed)
        assert failed.timed_out
        assert (await executor.notice()).reason == "timeout"


async def test_without_heartbeats_of_its_function_an_attempt_elsewhere_fails() -> None:
    @task(execute="remote", heartbeat_timeout=0.8, retries=1)
    def pay(value: int) -> int:
        return value

    harness = virtual_harness()
    flow = Flow("orders").then(pay).build()
    async with handed_out(harness, flow, free=5) as (executor, attempt):
        assert attempt.heartbeat_timeout_ms == 800
        await for_s(1.5, lambda: executor.progress(attempt, details=b"1"))
        assert "RetryRecorded" not in await harness.kinds()
        # It has it, but its function says nothing.
        await for_s(1.2, lambda: executor.progress(attempt))
        (retried,) = bodies(await harness.events(), RetryRecorded)
        assert isinstance(retried, RetryRecorded)
        assert retried.error_type == "heartbeat_timeout"
        await executor.tell(await executor.attempt(2))
        assert await harness.output() == "done"


@pytest.mark.parametrize("beats", [True, False])
async def test_heartbeats_are_asked_for_here_too(*, beats: bool) -> None:
    @task(heartbeat_timeout=0.6)
    async def pay(value: int) -> int:
        for _ in range(15):
            if beats:
                get_task_context().heartbeat({"at": value})
            await asyncio.sleep(0.1)
        return value

    harness = virtual_harness()
    flow = Flow("orders").then(pay).build()
    async with harness.worker(flow):
        await harness.command("StartWorkflow", workflow="orders", input=7)
        output = await harness.output()
        failed = bodies(await harness.events(), TaskFailed)
        assert output == (7 if beats else None)
        assert [getattr(body, "error_type", "") for body in failed] == (
            [] if beats else ["heartbeat_timeout"]
        )


async def test_a_thousand_executors_that_come_and_go_leave_nothing_behind() -> None:
    harness = virtual_harness()
    async with harness.worker(paying()) as worker:
        await harness.command("StartWorkflow", workflow="orders", input=7)
        await harness.until_kind("PositionUpdated")
        placing = worker.owners[0].dispatcher.elsewhere
        assert placing is not None
        for number in range(1_000):
            one = Speaker(harness.log, f"e{number}", tasks=(f"other/{number % 7}",))
            one.offer(1, ttl_ms=1)
            if number % 50 == 0:
                await asyncio.sleep(0.01)
        async with speaker(harness).reading() as executor:
            await asyncio.sleep(0.05)
            executor.offer()
            await executor.tell(await executor.attempt())
            assert await harness.output() == "done"
            assert len(placing.table) == 1


async def test_a_new_owner_waits_for_what_is_elsewhere() -> None:
    harness = virtual_harness()
    async with speaker(harness).reading() as executor:
        async with harness.worker(paying()):
            executor.offer()
            await harness.command("StartWorkflow", workflow="orders", input=7)
            attempt = await executor.attempt()
        async with harness.worker(paying()):
            executor.offer(5)
            executor.progress(attempt)
            await executor.tell(attempt)
            assert await harness.output() == "done"
            assert len(executor.handed_out()) == 1
            assert "AttemptRestarted" not in await harness.kinds()


async def test_a_new_owner_hands_out_again_what_nobody_tells_of_for_a_lease() -> None:
    harness = virtual_harness(lease_ms=500)
    async with speaker(harness).reading() as executor:
        async with harness.worker(paying()):
            executor.offer()
            await harness.command("StartWorkflow", workflow="orders", input=7)
            first = await executor.attempt()
        async with harness.worker(paying()):
            executor.offer(5)
            second = await executor.attempt(2)
            assert second.secret != first.secret
            await executor.tell(second)
            assert await harness.output() == "done"
            assert (await harness.kinds()).count("AttemptRestarted") == 1


async def test_a_new_owner_tells_the_cancel_that_an_earlier_one_decided() -> None:
    harness = virtual_harness()
    async with speaker(harness).reading() as executor:
        async with harness.worker(paying()):
            executor.offer()
            await harness.command("StartWorkflow", workflow="orders", input=7)
            await executor.attempt()
        await harness.command("CancelWorkflow")
        async with harness.worker(paying()):
            assert (await executor.notice()).reason == "cancel"
            await harness.until_kind("WorkflowCancelled")


async def test_lost_as_often_as_may_be_it_has_failed() -> None:
    harness = virtual_harness(lease_ms=100)
    async with harness.worker(paying()), speaker(harness).reading() as executor:
        await harness.command("StartWorkflow", workflow="orders", input=7)

        async def offer() -> None:
            while True:
                executor.offer(1)
                await asyncio.sleep(0.05)

        offering = asyncio.create_task(offer())
        events = await harness.until_kind("TaskFailed")
        offering.cancel()
        (failed,) = bodies(events, TaskFailed)
        assert isinstance(failed, TaskFailed)
        assert failed.error_type == "worker_lost"
        assert len(executor.handed_out()) == 11


async def test_who_owns_no_more_says_of_no_attempt_that_it_is_lost() -> None:
    harness = virtual_harness()
    async with handed_out(harness) as (executor, attempt):
        await claim(harness.log)
        # What the other owner has handed out, only that one knows.
        executor.progress(replace(attempt, instance_id="j"))
        await asyncio.sleep(3)  # it has seen the claim, and owns the partition again
        await executor.tell(attempt)
        assert await harness.output() == "done"
        assert executor.records == [attempt]
