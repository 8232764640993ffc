"""The owner's loop on a real log: decide, append, ack, evolve, act."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING

import pytest

from sayiir_es.core.authoring.flow import Flow
from sayiir_es.core.authoring.retries import RetryPolicy
from sayiir_es.core.authoring.tasks import task
from sayiir_es.core.model.rows import get_value
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.events import event_headers
from tests.engine.harness import EngineHarness, event_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def add(name: str) -> Callable[[str], Awaitable[str]]:
    async def run(value: str) -> str:
        return f"{value}+{name}"

    run.__name__ = name
    return run


CHAIN = Flow("chain").then(add("a")).then(add("b")).then(add("c")).build()


async def test_a_record_becomes_a_finished_workflow() -> None:
    harness = EngineHarness()
    async with harness.worker(CHAIN):
        offset = await harness.command("StartWorkflow", workflow="chain", input="x")
        assert await harness.output() == "x+a+b+c"
        events = await harness.events()
    assert events[0].cause == f"command:0@{offset}"
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert len({event.claim for event in events}) == 1


async def test_many_instances_run_side_by_side() -> None:
    harness = EngineHarness()
    async with harness.worker(CHAIN):
        for number in range(200):
            await harness.command(
                "StartWorkflow", f"i{number}", workflow="chain", input=f"{number}"
            )
        await harness.until_kind("WorkflowCompleted", "i199")
        store = await harness.folded()
    for number in range(200):
        output = get_value(store.rows(f"i{number}"), "output")
        assert output == f'"{number}+a+b+c"'.encode()


async def test_sync_tasks_run_on_threads_and_do_not_stop_the_loop() -> None:
    harness = EngineHarness()
    hold = threading.Event()

    def slow(value: str) -> str:
        assert hold.wait(10)
        return value

    flow = Flow("slow").then(slow).build()
    async with harness.worker(flow, CHAIN):
        await harness.command("StartWorkflow", "s", workflow="slow", input="x")
        await harness.until_kind("PositionUpdated", "s")
        await harness.command("StartWorkflow", workflow="chain", input="y")
        assert await harness.output() == "y+a+b+c"
        hold.set()
        assert await harness.output("s") == "x"


async def test_retries_follow_their_policy_and_the_last_error_is_told() -> None:
    harness = EngineHarness()
    calls: list[int] = []

    @task(retries=RetryPolicy(max_retries=2, initial_delay_secs=0.02))
    async def fails(value: str) -> str:
        calls.append(1)
        raise ValueError(f"no {len(calls)} {value}")

    async with harness.worker(Flow("f").then(fails).build()):
        await harness.command("StartWorkflow", workflow="f", input="x")
        events = await harness.until_kind("WorkflowFailed")
    assert len(calls) == 3
    assert events[-1].body.error == "ValueError: no 3 x"  # type: ignore[union-attr]


async def test_a_time_out_fails_a_sync_task_that_goes_on() -> None:
    harness = EngineHarness()
    hold = threading.Event()

    @task(timeout="50ms")
    def stuck(_: str) -> str:
        hold.wait(10)
        return "late"

    async with harness.worker(Flow("t").then(stuck).build(), slots=1):
        await harness.command("StartWorkflow", workflow="t", input="x")
        events = await harness.until_kind("WorkflowFailed")
        assert [event.kind for event in events] == [
            "WorkflowStarted",
            "PositionUpdated",
            "DeadlineSet",
            "TaskFailed",
            "WorkflowFailed",
        ]
        hold.set()
        events = await harness.until_kind("OutcomeRejected")
    assert events[-1].body.reason == "late"  # type: ignore[union-attr]


async def test_a_queued_attempt_waits_for_its_slot_before_its_deadline_runs() -> None:
    harness = EngineHarness()
    hold = threading.Event()

    def first(value: str) -> str:
        assert hold.wait(10)
        return value

    @task(timeout="5s")
    def second(value: str) -> str:
        return value

    flows = Flow("one").then(first).build(), Flow("two").then(second).build()
    async with harness.worker(*flows, slots=1):
        await harness.command("StartWorkflow", "one", workflow="one", input="x")
        await harness.until_kind("PositionUpdated", "one")
        await harness.command("StartWorkflow", "two", workflow="two", input="y")
        await harness.until_kind("PositionUpdated", "two")
        assert "DeadlineSet" not in await harness.kinds("two")
        hold.set()
        assert await harness.output("two") == "y"
        assert "DeadlineSet" in await harness.kinds("two")


async def test_a_queued_attempt_is_withdrawn_when_its_workflow_is_paused() -> None:
    harness = EngineHarness()
    hold = threading.Event()

    def first(value: str) -> str:
        assert hold.wait(10)
        return value

    flows = Flow("one").then(first).build(), CHAIN
    async with harness.worker(*flows, slots=1):
        await harness.command("StartWorkflow", "one", workflow="one", input="x")
        await harness.until_kind("PositionUpdated", "one")
        await harness.command("StartWorkflow", workflow="chain", input="y")
        await harness.command("PauseWorkflow")
        events = await harness.until_kind("WorkflowPaused")
        assert events[-2].kind == "AttemptWithdrawn"
        await harness.command("UnpauseWorkflow")
        hold.set()
        assert await harness.output() == "y+a+b+c"


async def test_a_cancelled_async_task_is_stopped_after_its_grace() -> None:
    harness = EngineHarness()
    ended = asyncio.Event()

    async def waits(_: str) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    async with harness.worker(Flow("w").then(waits).build()):
        await harness.command("StartWorkflow", workflow="w", input="x")
        await harness.until_kind("PositionUpdated")
        await harness.command("CancelWorkflow", reason="enough")
        events = await harness.until_kind("WorkflowCancelled")
    assert ended.is_set()
    assert events[-1].body.reason == "enough"  # type: ignore[union-attr]


async def test_garbage_is_dead_lettered_and_the_next_command_decided() -> None:
    harness = EngineHarness()
    async with harness.worker(CHAIN):
        for value in (b"", None, b"{", b"\xc3\x01garbage", b'{"command":"Dance"}'):
            await harness.log.produce(
                Topic.COMMANDS, 0, NewRecord(key=b"i", value=value)
            )
        await harness.command("StartWorkflow", workflow="chain", input="x")
        assert await harness.output() == "x+a+b+c"
        letters = await harness.records(Topic.DEAD_LETTERS)
        events = await harness.events(None)
    assert [letter.key for letter in letters] == [b"0@%d" % n for n in range(5)]
    assert [letter.value for letter in letters][:3] == [b"", None, b"{"]
    lettered = [event for event in events if event.kind == "CommandDeadLettered"]
    assert [event.cause for event in lettered] == [f"command:0@{n}" for n in range(5)]


async def test_an_event_of_an_unknown_kind_stops_the_partition_in_words() -> None:
    harness = EngineHarness()
    async with harness.worker(CHAIN):
        await harness.command("StartWorkflow", workflow="chain", input="x")
        await harness.output()
        claim = (await harness.events())[0].claim
    appender = await harness.log.appender(0)
    unheard = NewRecord(
        key=b"i",
        value=b"\xc3\x01" + b"\0" * 8 + b"\0",
        headers=event_headers("Unheard", claim),
    )
    await harness.log.open(create=False)
    offset = await appender.append([unheard])
    engine = await harness.start_worker(CHAIN)
    assert "Unheard" in engine.stopped[0]
    assert f"0@{offset}" in engine.stopped[0]
    await engine.stop(drain=False)


async def test_a_displaced_owner_is_fenced_and_what_it_wrote_is_ignored() -> None:
    harness = EngineHarness()
    async with harness.worker(CHAIN) as engine:
        await harness.command("StartWorkflow", workflow="chain", input="x")
        await harness.output()
        claim = (await harness.events())[0].claim
        first = engine.owners[0]
        appender = await harness.log.appender(0)
        claim_event = event_of((await harness.records())[claim])
        record = (await harness.records())[claim]
        await appender.append(
            [NewRecord(key=None, value=record.value, headers=record.headers)]
        )
        assert claim_event.kind == "PartitionClaimed"
        await harness.command("StartWorkflow", "j", workflow="chain", input="y")
        assert await harness.output("j") == "y+a+b+c"
        assert engine.owners[0] is first
        claims = [e for e in await harness.records() if e.key is None]
        assert len(claims) >= 3
        assert (await harness.events("j"))[0].claim > claim


async def test_an_attempt_without_code_waits_for_a_worker_that_has_it() -> None:
    harness = EngineHarness()
    async with harness.worker(CHAIN):
        await harness.command("StartWorkflow", workflow="chain", input="x")
        await harness.output()
    other_flow = Flow("other").then(add("o")).build()
    async with harness.worker(other_flow):
        await harness.command("StartWorkflow", "j", workflow="chain", input="y")
        await harness.until_kind("PositionUpdated", "j")
    async with harness.worker(CHAIN):
        assert await harness.output("j") == "y+a+b+c"


@pytest.mark.parametrize("size", [0.9, 1.0, 1.1])
async def test_payloads_up_to_the_limit_pass_and_beyond_fail_for_good(
    size: float,
) -> None:
    harness = EngineHarness()
    limit = 768 * 1024

    @task(retries=3)
    async def big(_: str) -> str:
        return "x" * (int(limit * size) - 2)

    async with harness.worker(Flow("b").then(big).build()):
        await harness.command("StartWorkflow", workflow="b", input="x")
        await harness.output()
        events = await harness.events()
    if size <= 1:
        assert events[-1].kind == "WorkflowCompleted"
        assert len(json.loads(events[-1].body.output)) > 1000  # type: ignore[union-attr, arg-type]
    else:
        assert events[-2].body.error_type == "too_large"  # type: ignore[union-attr]
        assert events[-1].kind == "WorkflowFailed"
