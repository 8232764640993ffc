"""The owner's side of attempts elsewhere, with executors that only speak."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, LoopResult, get_task_context, task
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.model.attempt_events import AttemptPublished
from sayiir_es.core.model.events import (
    AttemptRestarted,
    CommandRejected,
    OutcomeRejected,
    RetryRecorded,
    TaskFailed,
)
from sayiir_es.engine.definitions.feed import DefinitionFeed
from sayiir_es.engine.definitions.registry import Registry
from tests.engine.attempts.remote.speaker import Speaker
from tests.engine.harness import EngineHarness

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.authoring.flow import Workflow
    from sayiir_es.core.model.events import Event


@task(execute="remote")
def pay(value: int) -> int:
    raise AssertionError(value)  # no worker may run it


def paying(name: str = "orders") -> Workflow:
    """A workflow of one task that only executors elsewhere run."""
    return Flow(name).then(pay).build()


def speaker(harness: EngineHarness, name: str = "e1") -> Speaker:
    """An executor of these."""
    return Speaker(harness.log, name, tasks=("orders/pay",))


async def published(harness: EngineHarness, workflow: Workflow) -> None:
    """Publish a graph whose code no worker of the test has."""
    await harness.log.open(create=True)
    await DefinitionFeed(harness.log, Registry()).publish(workflow)


async def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds that no event tells of."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (as above)
            await asyncio.sleep(0.02)


def bodies(events: list[Event], kind: type) -> list[object]:
    """The bodies of a kind."""
    return [event.body for event in events if isinstance(event.body, kind)]


async def test_an_attempt_is_published_behind_its_event_and_its_end_counts() -> None:
    harness = EngineHarness()
    async with harness.worker(paying()), speaker(harness).reading() as executor:
        executor.offer()
        await harness.command("StartWorkflow", workflow="orders", input=7)
        attempt = await executor.attempt()
        assert (attempt.input, attempt.task_id, attempt.tags) == (b"7", "pay", ())
        assert attempt.graph_digest == paying().graph.digest
        assert attempt.idempotency_key == "i/1/pay"
        (published,) = bodies(await harness.events(), AttemptPublished)
        assert isinstance(published, AttemptPublished)
        assert published.secret_hash == hashlib.sha256(attempt.secret).digest()
        await executor.tell(attempt)
        assert await harness.output() == "done"


async def test_what_came_before_the_offer_waits_for_it() -> None:
    harness = EngineHarness()
    async with harness.worker(paying()), speaker(harness).reading() as executor:
        await harness.command("StartWorkflow", workflow="orders", input=7)
        await harness.until_kind("PositionUpdated")
        executor.offer()
        await executor.tell(await executor.attempt())
        assert await harness.output() == "done"


async def test_no_more_is_handed_out_than_was_asked_for() -> None:
    harness = EngineHarness()
    async with harness.worker(paying()), speaker(harness).reading() as executor:
        executor.offer(2)
        for number in range(5):
            await harness.command("StartWorkflow", f"i{number}", workflow="orders")
        await executor.attempt(2)
        await harness.until_kind("PositionUpdated", "i4")
        assert len(executor.handed_out()) == 2
        executor.offer(3)
        await executor.attempt(5)
        for attempt in executor.handed_out():
            await executor.tell(attempt)
        for number in range(5):
            assert await harness.output(f"i{number}") == "done"


async def test_one_executor_has_no_more_than_its_slots_and_half_of_them() -> None:
    harness = EngineHarness()
    async with harness.worker(paying()), speaker(harness).reading() as executor:
        executor.offer(100, slots=4)
        for number in range(10):
            await harness.command("StartWorkflow", f"i{number}", workflow="orders")
        await harness.until_kind("PositionUpdated", "i9")
        await executor.attempt(6)
        assert len(executor.handed_out()) == 6
        for number in range(10):
            await executor.tell(await executor.attempt(number + 1))
        for number in range(10):
            assert await harness.output(f"i{number}") == "done"


async def test_a_worker_without_the_code_decides_and_an_executor_runs() -> None:
    harness = EngineHarness()
    workflow = Flow("orders").then(abs, name="pay").build()
    await published(harness, workflow)
    async with harness.worker(), speaker(harness).reading() as executor:
        executor.offer()
        await harness.command("StartWorkflow", workflow="orders", input=7)
        await executor.tell(await executor.attempt())
        assert await harness.output() == "done"


async def test_two_fleets_with_other_tags_hold_up_nothing() -> None:
    @task(tags=["gpu"])
    def train(value: int) -> int:
        return value

    harness = EngineHarness(tags=frozenset())
    flow = Flow("orders").then(train).build()
    plain = Speaker(harness.log, "plain", tasks=("orders/train",))
    gpu = Speaker(harness.log, "gpu", tasks=("orders/train",), tags=("gpu",))
    async with harness.worker(flow), plain.reading(), gpu.reading():
        plain.offer(10)
        await harness.command("StartWorkflow", workflow="orders", input=7)
        await harness.until_kind("PositionUpdated")
        gpu.offer()
        await gpu.tell(await gpu.attempt())
        assert await harness.output() == "done"
        assert plain.handed_out() == []


async def test_what_has_no_slot_here_goes_elsewhere() -> None:
    free = asyncio.Event()

    @task
    async def pay(value: int) -> int:
        await free.wait()
        return value

    harness = EngineHarness()
    flow = Flow("orders").then(pay).build()
    async with harness.worker(flow, slots=1), speaker(harness).reading() as executor:
        executor.offer()
        await harness.command("StartWorkflow", "here", workflow="orders", input=1)
        await harness.command("StartWorkflow", "there", workflow="orders", input=2)
        attempt = await executor.attempt()
        assert attempt.instance_id == "there"
        await executor.tell(attempt)
        assert await harness.output("there") == "done"
        free.set()
        assert await harness.output("here") == 1


async def test_what_queues_here_goes_to_the_next_that_offers() -> None:
    free = asyncio.Event()

    @task
    async def pay(value: int) -> int:
        await free.wait()
        return value

    harness = EngineHarness()
    flow = Flow("orders").then(pay).build()
    async with harness.worker(flow, slots=1), speaker(harness).reading() as executor:
        executor.offer(0)
        await harness.command("StartWorkflow", "here", workflow="orders", input=1)
        await harness.command("StartWorkflow", "there", workflow="orders", input=2)
        await harness.until_kind("PositionUpdated", "there")
        executor.offer(1)
        await executor.tell(await executor.attempt())
        assert await harness.output("there") == "done"
        free.set()
        assert await harness.output("here") == 1


async def test_another_secret_is_refused_and_the_attempt_goes_on() -> None:
    harness = EngineHarness()
    async with harness.worker(paying()), speaker(harness).reading() as executor:
        executor.offer()
        await harness.command("StartWorkflow", workflow="orders", input=7)
        attempt = await executor.attempt()
        await executor.tell(attempt, b'"forged"', secret=bytes(16))
        events = await harness.until_kind("CommandRejected")
        (rejected,) = bodies(events, CommandRejected)
        assert isinstance(rejected, CommandRejected)
        assert rejected.code == "bad_request"
        await executor.tell(attempt)
        assert await harness.output() == "done"


async def test_a_silent_executor_loses_its_attempt_and_its_outcome_is_late() -> None:
    harness = EngineHarness(lease_ms=600)
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
    harness = EngineHarness(lease_ms=600)
    async with harness.worker(paying()), speaker(harness).reading() as executor:
        executor.offer()
        await harness.command("StartWorkflow", workflow="orders", input=7)
        attempt = await executor.attempt()
        loop = asyncio.get_running_loop()
        end = loop.time() + 1.8
        while loop.time() < end:
            executor.progress(attempt)
            executor.offer()
            await asyncio.sleep(0.1)
        await executor.tell(attempt)
        assert await harness.output() == "done"
        assert "AttemptRestarted" not in await harness.kinds()


async def test_progress_in_anothers_name_takes_nothing_from_it() -> None:
    harness = EngineHarness()
    async with harness.worker(paying()), speaker(harness).reading() as executor:
        executor.offer()
        await harness.command("StartWorkflow", workflow="orders", input=7)
        attempt = await executor.attempt()
        executor.progress(replace(attempt, secret=bytes(16)))
        executor.progress(replace(attempt, instance_id="none"))
        notice = await executor.notice()
        assert notice.instance_id == "none"
        assert len(executor.records) == 2
        await executor.tell(attempt)
        assert await harness.output() == "done"


async def test_lost_and_begun_by_nobody_it_is_taken_again_by_who_has_it() -> None:
    harness = EngineHarness(lease_ms=400)
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


async def test_what_is_handed_back_goes_to_another_one() -> None:
    harness = EngineHarness()
    first, second = speaker(harness, "first"), speaker(harness, "second")
    async with harness.worker(paying()), first.reading(), second.reading():
        first.offer(5)
        await harness.command("StartWorkflow", workflow="orders", input=7)
        attempt = await first.attempt()
        second.offer()
        await first.tell(attempt, None)
        await second.tell(await second.attempt())
        assert await harness.output() == "done"
        kinds = await harness.kinds()
        assert kinds.count("AttemptPublished") == 2
        assert bodies(await harness.events(), AttemptRestarted) == [
            AttemptRestarted(path="pay", attempt=1, restarts=0)
        ]


async def test_who_hands_everything_back_is_asked_ever_more_seldom() -> None:
    harness = EngineHarness()
    async with harness.worker(paying()), speaker(harness).reading() as executor:
        executor.offer(50)
        await harness.command("StartWorkflow", workflow="orders", input=7)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for number in range(1, 4):
            await executor.tell(await executor.attempt(number), None)
            executor.offer(50)
        assert loop.time() - begun >= 0.2 + 0.4 - 0.05
        await executor.tell(await executor.attempt(4))
        assert await harness.output() == "done"


async def test_a_cancel_is_told_and_behind_twice_the_grace_it_counts_no_more() -> None:
    harness = EngineHarness()
    async with harness.worker(paying()), speaker(harness).reading() as executor:
        executor.offer()
        await harness.command("StartWorkflow", workflow="orders", input=7)
        attempt = await executor.attempt()
        await harness.command("CancelWorkflow")
        notice = await executor.notice()
        assert (notice.reason, notice.grace_ms) == ("cancel", 50)
        await harness.until_kind("WorkflowCancelled")
        await executor.tell(attempt)
        await harness.until_kind("OutcomeRejected")


async def test_a_pause_is_told_and_what_runs_ends_as_it_does_here() -> None:
    harness = EngineHarness()
    async with harness.worker(paying()), speaker(harness).reading() as executor:
        executor.offer()
        await harness.command("StartWorkflow", workflow="orders", input=7)
        attempt = await executor.attempt()
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

    harness = EngineHarness()
    flow = Flow("orders").then(pay).build()
    async with harness.worker(flow), speaker(harness).reading() as executor:
        executor.offer()
        await harness.command("StartWorkflow", workflow="orders", input=7)
        attempt = await executor.attempt()
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

    harness = EngineHarness()
    flow = Flow("orders").then(pay).build()
    async with harness.worker(flow), speaker(harness).reading() as executor:
        executor.offer(5)
        await harness.command("StartWorkflow", workflow="orders", input=7)
        attempt = await executor.attempt()
        assert attempt.heartbeat_timeout_ms == 800
        loop = asyncio.get_running_loop()
        end = loop.time() + 1.5
        while loop.time() < end:
            executor.progress(attempt, details=b"1")
            await asyncio.sleep(0.1)
        assert "RetryRecorded" not in await harness.kinds()
        silent = asyncio.create_task(harness.until_kind("RetryRecorded"))
        while not silent.done():
            executor.progress(attempt)  # it has it, but its function says nothing
            await asyncio.sleep(0.1)
        (retried,) = bodies(silent.result(), RetryRecorded)
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

    harness = EngineHarness()
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
    harness = EngineHarness()
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
    harness = EngineHarness()
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
    harness = EngineHarness(lease_ms=500)
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
    harness = EngineHarness()
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
    harness = EngineHarness(lease_ms=100)
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


async def test_loops_forks_and_routes_go_elsewhere_node_by_node() -> None:
    def key(value: int) -> str:
        return str(value)

    def part(value: object) -> object:
        return value

    def join(parts: dict[str, object]) -> int:
        return len(parts)

    def end(value: int) -> LoopResult[int]:
        return LoopResult.done(value)

    flow = (
        Flow("orders")
        .route(key, keys=["a"])
        .branch("a", pay)
        .done()
        .fork()
        .branch(part, name="x")
        .branch(part, name="y")
        .join(join)
        .loop(end)
        .build()
    )
    harness = EngineHarness()
    await published(harness, flow)
    async with harness.worker():
        executor = Speaker(harness.log, graphs=(flow.graph.digest,))
        async with executor.reading():
            executor.offer(50, slots=50)
            await harness.command("StartWorkflow", workflow="orders", input=7)
            key_attempt = await executor.attempt(1)
            assert key_attempt.is_key
            await executor.tell(key_attempt, b'"a"')
            await executor.tell(await executor.attempt(2), b"1")
            for number in (3, 4):
                await executor.tell(await executor.attempt(number), b"2")
            await executor.tell(await executor.attempt(5), b"3")
            last = await executor.attempt(6)
            assert last.ends_loop
            await executor.tell(last, b"4", loop="done")
            assert await harness.output() == 4


async def test_an_input_that_no_record_takes_fails_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    harness = EngineHarness()
    topics = type(harness.log.request_topics)

    def value_bytes_max(*_: object) -> int:
        return 17_000

    monkeypatch.setattr(topics, "value_bytes_max", value_bytes_max)
    async with harness.worker(paying()), speaker(harness).reading() as executor:
        executor.offer()
        await harness.command("StartWorkflow", workflow="orders", input="x" * 1_000)
        events = await harness.until_kind("TaskFailed")
        (failed,) = bodies(events, TaskFailed)
        assert isinstance(failed, TaskFailed)
        assert failed.error_type == "too_large"


def test_the_options_stand_in_the_graph_and_not_where_they_are_not_used() -> None:
    plain = Flow("w").then(abs, name="a").build().graph
    remote = Flow("w").then(pay, name="a").build().graph
    assert remote.digest != plain.digest
    assert remote.definition_hash == plain.definition_hash
    (node,) = remote.chain
    assert isinstance(node, TaskNode)
    assert (node.execute, node.heartbeat_timeout_ms) == ("remote", None)


@pytest.mark.parametrize(
    "options",
    [{"execute": "elsewhere"}, {"heartbeat_timeout": -1}, {"heartbeat_timeout": "x"}],
)
def test_options_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"execute|heartbeat_timeout|duration"):
        task(**options)  # type: ignore[call-overload]
