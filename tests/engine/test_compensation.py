"""Workers undo what a failed or cancelled run did, with real functions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es import Flow, LoopResult, RetryPolicy, task
from sayiir_es.core.model.compensation_events import CompensationEnded
from sayiir_es.core.model.events import WorkflowFailed
from sayiir_es.engine.attempts.task_context import get_task_context
from sayiir_es.testing import given
from tests.captured_logs import capture_logs
from tests.engine.harness import EngineHarness

if TYPE_CHECKING:
    from sayiir_es.core.authoring.workflow import Workflow
    from sayiir_es.engine.attempts.task_context import TaskExecutionContext

LIMIT_S = 20.0


@task
def fail(_value: object) -> None:
    raise OSError("no paper")


def trip(undone: list[object]) -> Workflow:
    """Three tasks that can be undone, one of them in each of two ways; it fails."""

    @task(retries=RetryPolicy(max_retries=2, initial_delay_secs=0.01), timeout="9s")
    async def refund(paid: int, receipt: str) -> None:
        context = get_task_context()
        if context.attempt == 1:
            raise ConnectionError("the bank is closed")
        undone.append((context.idempotency_key, paid, receipt))

    def release(
        both: dict[str, object],
        *,
        workflow_input: int,
        context: TaskExecutionContext,
    ) -> str:
        undone.append((context.task_id, both, workflow_input))
        return "ignored"

    def forget(*both: object, reserve: int) -> None:
        undone.append((*both, reserve))

    @task(compensate=release)
    def reserve(order: int) -> int:
        return order + 1

    @task(compensate=refund)
    def pay(seat: int) -> str:
        return f"paid {seat}"

    @task(compensate=forget)
    def tell(receipt: str) -> list[str]:
        return [receipt]

    return Flow("trip").then(reserve).then(pay).then(tell).then(fail).build()


UNDONE = [
    ("paid 8", ["paid 8"], 8),
    ("test/1/pay/@compensate", 8, "paid 8"),
    ("release", {"input": 7, "result": 8}, 7),
]


def test_functions_are_given_input_and_result_as_they_take_them() -> None:
    undone: list[object] = []
    result = given(trip(undone), 7).to_the_end().result
    assert (result.status, result.error) == ("failed", "OSError: no paper")
    assert undone == UNDONE
    assert result.compensated == ("tell", "pay", "reserve")
    assert result.not_compensated == ()


def test_a_crash_behind_any_event_undoes_all_the_same() -> None:
    undone: list[object] = []
    scenario = given(trip(undone), 7).to_the_end()
    assert scenario.survives_crashes() > 10
    assert {str(one) for one in undone} == {str(one) for one in UNDONE}


def test_a_cancel_undoes_while_a_wait_stands() -> None:
    undone: list[object] = []

    @task(compensate=lambda value, result: undone.append((value, result)))
    def reserve(value: int) -> int:
        return value * 2

    flow = Flow("w").then(reserve).wait_for_signal("go").build()
    scenario = given(flow, 4).cancel("late")
    assert scenario.result.status == "cancelled"
    assert scenario.result.compensated == ("reserve",)
    assert scenario.result.state.reason == "late"
    assert undone == [(4, 8)]
    assert scenario.survives_crashes() > 3


def test_iterations_of_a_loop_are_undone_with_what_each_was_given() -> None:
    undone: list[object] = []

    @task(compensate=lambda value, result: undone.append((value, result)))
    def step(value: int) -> int:
        return value + 1

    @task
    def again(value: int) -> LoopResult[int]:
        return LoopResult.done(value) if value > 2 else LoopResult.again(value)

    body = Flow("body").then(step).then(again)
    flow = Flow("w").loop(body).then(fail).build()
    scenario = given(flow, 0).to_the_end()
    assert scenario.result.compensated == tuple(f"loop_0@{n}/step" for n in (2, 1, 0))
    assert undone == [(2, 3), (1, 2), (0, 1)]
    assert scenario.survives_crashes() > 10


def test_a_retry_tries_again_only_what_could_not_be_undone() -> None:
    calls: list[str] = []

    def stubborn(_value: object, _result: object) -> None:
        calls.append("stubborn")
        if calls.count("stubborn") == 1:
            raise OSError("not now")

    @task(compensate=stubborn)
    def first(value: int) -> int:
        return value

    @task(compensate=lambda _value, _result: calls.append("second"))
    def second(value: int) -> int:
        return value

    flow = Flow("w").then(first).then(second).then(fail).build()
    scenario = given(flow, 1).to_the_end()
    assert scenario.result.compensated == ("second",)
    assert scenario.result.not_compensated == ("first",)
    result = scenario.retry().to_the_end().result
    assert result.status == "failed"
    assert (result.compensated, result.not_compensated) == (("second", "first"), ())
    again = scenario.retry().to_the_end().retry().result
    assert again.kinds[-1] == "CommandRejected"


async def test_what_runs_beside_a_failure_may_end_and_is_undone() -> None:
    harness, begun, hold = EngineHarness(), asyncio.Event(), asyncio.Event()
    undone: list[object] = []

    @task(compensate=lambda value, result: undone.append((value, result)))
    async def slow(_value: int) -> str:
        begun.set()
        await hold.wait()
        return "done"

    @task
    async def fails_beside(_value: int) -> None:
        await begun.wait()
        raise OSError("no paper")

    flow = (
        Flow("w").fork().branch(slow).branch(fails_beside).join(lambda _: None).build()
    )
    async with harness.worker(flow, slots=2):
        await harness.command("StartWorkflow", workflow="w", input=1)
        await harness.until_kind("CompensationRequested")
        hold.set()
        await harness.until_kind("WorkflowFailed")
    assert undone == [(1, "done")]
    assert await harness.kinds() == [
        *("WorkflowStarted", "ForkStarted", "PositionUpdated", "PositionUpdated"),
        *("TaskFailed", "CompensationRequested"),
        *("TaskCompleted", "CompensationStarted", "PositionUpdated"),
        *("TaskCompleted", "CompensationEnded", "WorkflowFailed"),
    ]


async def test_what_has_no_slot_when_the_run_fails_comes_back_at_once() -> None:
    harness, begun, hold = EngineHarness(), set[str](), asyncio.Event()

    @task
    async def fails_at_once(_value: int) -> None:
        raise OSError("no paper")

    @task(compensate=lambda _value, _result: None)
    async def queued(_value: int) -> None:
        begun.add(get_task_context().idempotency_key)
        await hold.wait()

    fork = Flow("w").fork().branch(fails_at_once)
    for number in range(4):
        fork.branch(queued, name=f"q{number}")
    flow = fork.join(lambda _: None).build()
    async with harness.worker(flow, slots=1):
        await harness.command("StartWorkflow", workflow="w", input=1)
        await harness.until_kind("AttemptWithdrawn")
        hold.set()
        await harness.until_kind("WorkflowFailed")
    kinds = await harness.kinds()
    requested = kinds.index("CompensationRequested")
    assert "AttemptWithdrawn" not in kinds[:requested]
    assert len(begun) == 1  # it has the slot, and ends within the grace, or not
    assert kinds.count("AttemptWithdrawn") in (3, 4)
    undone = kinds.count("CompensationEnded")
    assert undone + kinds.count("AttemptWithdrawn") == 4


async def test_branches_are_undone_side_by_side_and_another_owner_goes_on() -> None:
    harness, running = EngineHarness(), set[str]()
    together, hold = asyncio.Event(), asyncio.Event()

    async def undo(_value: object, result: str) -> None:
        running.add(result)
        if len(running) == 2:
            together.set()
        await hold.wait()

    @task(compensate=undo)
    def left(_value: int) -> str:
        return "left"

    @task(compensate=undo)
    def right(_value: int) -> str:
        return "right"

    flow = Flow("w").fork().branch(left).branch(right).join(fail).build()
    async with harness.worker(flow, slots=4):
        await harness.command("StartWorkflow", workflow="w", input=1)
        async with asyncio.timeout(LIMIT_S):
            await together.wait()
    hold.set()
    async with harness.worker(flow, slots=4):
        await harness.until_kind("WorkflowFailed")
    (failed,) = [
        event.body
        for event in await harness.events()
        if isinstance(event.body, WorkflowFailed)
    ]
    assert sorted(failed.compensated) == [
        *("left||right/left/left", "left||right/right/right")
    ]


async def test_a_worker_says_in_its_log_what_could_not_be_undone() -> None:
    harness = EngineHarness()

    def refuse(_value: object, _result: object) -> None:
        raise KeyError("gone")

    @task(compensate=refuse)
    def reserve(value: int) -> int:
        return value

    flow = Flow("w").then(reserve).then(fail).build()
    with capture_logs() as logs:
        async with harness.worker(flow):
            await harness.command("StartWorkflow", workflow="w", input=1)
            await harness.until_kind("WorkflowFailed")
    lines = {line["event"]: line for line in logs}
    assert lines["workflow.compensating"]["path"] == "fail"
    line = lines["task.compensation_failed"]
    assert (line["log_level"], line["task_id"], line["path"]) == (
        "error",
        "reserve",
        "reserve",
    )
    ended = [
        event.body
        for event in await harness.events()
        if isinstance(event.body, CompensationEnded)
    ]
    assert ended == [CompensationEnded(path="reserve", undone=False)]
