"""A decision that does not fit its batch waits for the next; one that never can, fails.

None of them stops its partition, is lost, or is made for ever.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from sayiir_es import Flow, task
from sayiir_es.core.decide import decide as deciding
from sayiir_es.core.model.events import (
    CommandRejected,
    TaskFailed,
    WorkflowFailed,
)
from sayiir_es.core.model.inputs import ResumeCut
from sayiir_es.log.memory.log import MemoryLog
from tests.captured_logs import capture_logs
from tests.engine.harness import EngineHarness, event_of
from tests.engine.owner.test_quarantine import check, once

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es.core.draft import Decision, DecisionContext
    from sayiir_es.core.model.inputs import Input
    from sayiir_es.core.model.rows import Rows


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each input was decided on, but for the rests of decisions."""
    counted: Counter[str] = Counter()

    def decide(
        input_: Input, rows: Rows, context: DecisionContext, room: int
    ) -> Decision:
        if not isinstance(input_, ResumeCut):
            counted[repr(input_)] += 1
        return deciding.decide(input_, rows, context, room)

    monkeypatch.setattr("sayiir_es.engine.owner.deciding.decide", decide)
    return counted


@task
async def large(size: int) -> str:
    return "x" * size


@task
async def key_of(size: int) -> str:
    return "k" * size


@task(timeout="1h")
async def slow(value: int) -> int:
    return value


def envelope() -> Flow:
    """Its output is a key and a result, both as long as its input says."""
    return (
        Flow("envelope")
        .route(key_of, keys=["a"])
        .branch("a", once)
        .default_branch(large)
        .done()
    )


async def test_an_output_that_fits_no_batch_ends_its_run_and_nothing_else(
    made: Counter[str],
) -> None:
    harness = EngineHarness()
    flows = envelope().build(), Flow("w").then(once).build()
    async with harness.worker(*flows):
        with capture_logs() as logs:
            await harness.command("StartWorkflow", workflow="envelope", input=500_000)
            await harness.command("StartWorkflow", "other", workflow="w", input=1)
            assert await harness.output("other") == 2
            await harness.output()
            assert not [log for log in logs if "decision" in log["event"]]
        for run in (2, 3):
            await harness.command("RetryWorkflow")
            await harness.until_kind("WorkflowFailed", count=run)
        await harness.command("StartWorkflow", "last", workflow="w", input=1)
        assert await harness.output("last") == 2
        events = await harness.events()
    body = events[-1].body
    assert isinstance(body, WorkflowFailed)
    assert (body.error_type, events[-1].run) == ("too_large", 3)
    assert "at most 900000 bytes" in body.error
    assert "InstanceQuarantined" not in await harness.kinds()
    assert max(made.values()) <= 2
    await check(harness)


@pytest.mark.timeout(60)
async def test_a_fork_of_many_branches_with_long_paths_fits_its_batches(
    made: Counter[str],
) -> None:
    """All begin, each with a record of more than a kilobyte that says so."""

    def nested(number: int) -> Flow:
        inner = Flow("t").then(slow)
        for level in range(3):
            name = f"{number:04}-{level}" + "n" * 240
            inner = Flow("f").fork().branch(inner, name=name).join(sum_of, name=name)
        return inner

    fork = Flow("deep").fork()
    for number in range(300):
        fork = fork.branch(nested(number), name=f"b{number}")
    harness = EngineHarness()
    async with harness.worker(fork.join(sum_of, name="all").build(), slots=300):
        await harness.command("StartWorkflow", workflow="deep", input=1)
        assert await harness.output() == 300
        kinds = Counter(await harness.kinds())
    assert kinds["DeadlineSet"] == 300
    assert not kinds["AttemptRestarted"]
    assert max(made.values()) <= 2
    await check(harness)


@task
def sum_of(results: dict[str, int]) -> int:
    return sum(results.values())


SMALL_BYTES = 24_000


@task
async def failing(_: int) -> int:
    raise ValueError("e" * 7_000)


@task(timeout="1ms")
async def never(_: int) -> None:
    await asyncio.Event().wait()


def named(function: Callable[[int], object], name: str, levels: int) -> Flow:
    """A flow in so many forks of one branch, whose names are as long as names may be.

    What opens or ends there takes some kilobytes beside what it was decided on.
    """
    flow = Flow("inner").then(function)
    for level in range(levels):
        long = f"{level}{name}" + "n" * 240
        flow = Flow(name).fork().branch(flow, name=long).join(sum_of, name=name)
    return flow


async def test_what_does_not_fit_the_room_left_is_the_first_of_the_next_batch(
    made: Counter[str],
) -> None:
    """Commands and outcomes; timers are begun only where there is room for anything."""
    wide = Flow("wide").fork()
    for number in range(60):
        wide = wide.branch(once, name=f"{number:02}" + "n" * 248)
    flows = (
        wide.join(len, name="count").build(),
        Flow("failing").then(failing).build(),
        named(never, "late", 9).build(),
    )
    harness = EngineHarness(log=MemoryLog(max_batch_bytes=SMALL_BYTES))
    await harness.log.open(create=True)
    for number in range(8):
        for workflow in ("wide", "failing", "late"):
            name = f"{workflow}{number}"
            for noise in ("a", "b"):
                payload = noise * 4_000
                await harness.command("SendSignal", name, signal="s", payload=payload)
            await harness.command("StartWorkflow", name, workflow=workflow, input=1)
    async with harness.worker(*flows):
        for number in range(8):
            assert await harness.output(f"wide{number}") == 60
            for workflow, error_type in (
                ("failing", "ValueError"),
                ("late", "timeout"),
            ):
                name = f"{workflow}{number}"
                events = await harness.until_kind("WorkflowFailed", name)
                body = next(e.body for e in events if e.kind == "WorkflowFailed")
                assert isinstance(body, WorkflowFailed)
                assert body.error_type == error_type
    put_back = [input_ for input_, count in made.items() if count > 1]
    for kind in ("Commanded", "Outcome"):
        assert any(input_.startswith(kind) for input_ in put_back), kind
    assert max(made.values()) == 2
    await check(harness)


async def test_what_fits_no_batch_of_a_small_log_fails_or_is_rejected() -> None:
    harness = EngineHarness(log=MemoryLog(max_batch_bytes=SMALL_BYTES))
    flows = Flow("w").then(large).build(), Flow("wait").wait_for_signal("go").build()
    async with harness.worker(*flows):
        await harness.command("StartWorkflow", workflow="w", input=SMALL_BYTES)
        await harness.until_kind("WorkflowFailed")
        failed, ended = (event.body for event in (await harness.events())[-2:])
        assert isinstance(failed, TaskFailed)
        assert isinstance(ended, WorkflowFailed)
        assert failed.error_type == ended.error_type == "too_large"

        text = "x" * SMALL_BYTES
        await harness.command("StartWorkflow", "big", workflow="wait", input=text)
        await harness.command("StartWorkflow", "small", workflow="wait", input=1)
        await harness.command("SendSignal", "small", signal="go", payload=text)
        await harness.command("SendSignal", "small", signal="go", payload=1)
        assert await harness.output("small") == 1
        bodies = [event_of(record).body for record in await harness.records()]
        rejected = [body for body in bodies if isinstance(body, CommandRejected)]
        assert [body.code for body in rejected] == ["too_large", "too_large"]
    await check(harness)
