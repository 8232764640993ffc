"""The owner's side of attempts elsewhere, with executors that only speak."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from sayiir_es import Flow, LoopResult, task
from sayiir_es.core.graph.nodes import TaskNode
from sayiir_es.core.model.attempt_events import AttemptPublished
from sayiir_es.core.model.events import (
    AttemptRestarted,
    CommandRejected,
    TaskFailed,
)
from tests.engine.attempts.remote.orders import (
    bodies,
    handed_out,
    held,
    pay,
    paying,
    published,
    speaker,
)
from tests.engine.attempts.remote.speaker import Speaker, virtual_harness


async def test_an_attempt_is_published_behind_its_event_and_its_end_counts() -> None:
    harness = virtual_harness()
    async with handed_out(harness) as (executor, attempt):
        assert (attempt.input, attempt.task_id, attempt.tags) == (b"7", "pay", ())
        assert attempt.graph_digest == paying().graph.digest
        assert attempt.idempotency_key == "i/1/pay"
        (published,) = bodies(await harness.events(), AttemptPublished)
        assert isinstance(published, AttemptPublished)
        assert published.secret_hash == hashlib.sha256(attempt.secret).digest()
        await executor.tell(attempt)
        assert await harness.output() == "done"


async def test_what_came_before_the_offer_waits_for_it() -> None:
    harness = virtual_harness()
    async with harness.worker(paying()), speaker(harness).reading() as executor:
        await harness.command("StartWorkflow", workflow="orders", input=7)
        await harness.until_kind("PositionUpdated")
        executor.offer()
        await executor.tell(await executor.attempt())
        assert await harness.output() == "done"


async def test_no_more_is_handed_out_than_was_asked_for() -> None:
    harness = virtual_harness()
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
    harness = virtual_harness()
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
    harness = virtual_harness()
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

    harness = virtual_harness(tags=frozenset())
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
    free, harness = asyncio.Event(), virtual_harness()
    flow = held(free)
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
    free, harness = asyncio.Event(), virtual_harness()
    flow = held(free)
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
    harness = virtual_harness()
    async with handed_out(harness) as (executor, attempt):
        await executor.tell(attempt, b'"forged"', secret=bytes(16))
        events = await harness.until_kind("CommandRejected")
        (rejected,) = bodies(events, CommandRejected)
        assert isinstance(rejected, CommandRejected)
        assert rejected.code == "bad_request"
        await executor.tell(attempt)
        assert await harness.output() == "done"


async def test_what_is_handed_back_goes_to_another_one() -> None:
    harness = virtual_harness()
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
    harness = virtual_harness()
    async with harness.worker(paying()), speaker(harness).reading() as executor:
        executor.offer(50)
        await harness.command("StartWorkflow", workflow="orders", input=7)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for number in range(1, 4):
            await executor.tell(await executor.attempt(number), None)
            executor.offer(50)
        assert 0.2 + 0.4 <= loop.time() - begun < 1
        await executor.tell(await executor.attempt(4))
        assert await harness.output() == "done"


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
    harness = virtual_harness()
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
    harness = virtual_harness()
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
