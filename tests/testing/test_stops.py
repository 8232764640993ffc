"""A scenario that stops in the middle: in a running task, in a backoff; and crashes."""

from __future__ import annotations

import asyncio

import pytest

from sayiir_es import Flow, RetryPolicy, get_task_context, task
from sayiir_es.testing import given

CALLS: list[int] = []


@task(retries=RetryPolicy(max_retries=3, initial_delay_secs=3600))
def charge(order: dict[str, int]) -> dict[str, int]:
    context = get_task_context()
    assert context is not None
    CALLS.append(context.attempt)
    if context.attempt < 3:
        raise ConnectionError("not yet")
    return {**order, "attempt": context.attempt}


@task(timeout="2h")
async def pack(order: dict[str, int]) -> dict[str, int]:
    context = get_task_context()
    assert context is not None
    for _ in range(60):
        await asyncio.sleep(60)
        if context.cancelled:
            return {**order, "packed": 0}
    return {**order, "packed": 1}


@task
def ship(order: dict[str, int]) -> str:
    return f"{order['id']} shipped"


ORDER = Flow("order").then(charge).then(pack).then(ship).build()


def test_it_stops_where_a_task_runs() -> None:
    CALLS.clear()
    order = given(ORDER, {"id": 7}).until_running("charge", attempt=2)
    assert order.result.status == "in_progress"
    assert order.result.kinds[-1] == "RetryRecorded"
    assert CALLS == [1]
    assert order.until_running("ship").result.kinds[-1] == "PositionUpdated"
    assert order.to_the_end().result.output == "7 shipped"
    order.to_the_end().survives_crashes()


def test_it_stops_inside_a_backoff() -> None:
    order = given(ORDER, {"id": 7}).until_backoff("charge")
    assert order.result.kinds[-1] == "RetryRecorded"
    [event] = order.result.events[-1:]
    assert order.after("59m").result.kinds[-1] == "RetryRecorded"
    assert order.after("3599s").result.kinds[-1] == "RetryRecorded"
    again = order.after("3601s").result
    assert again.events[len(order.result.events)].at == event.at + 3600 * 1000
    assert "attempt 2" in order.result.waiting_for
    later = order.until_backoff("charge")
    assert later.result.kinds.count("RetryRecorded") == 2
    assert given(ORDER, {"id": 7}).until_backoff("charge", attempt=2).result.kinds == (
        later.result.kinds
    )
    with pytest.raises(
        AssertionError, match=r"expected an attempt of 'charge' to fail"
    ):
        _ = later.until_backoff("charge").result


def test_a_command_is_decided_while_the_task_runs() -> None:
    running = given(ORDER, {"id": 7}).until_running("pack")
    cancelled = running.cancel("no stock")
    kinds = cancelled.result.kinds
    assert kinds[kinds.index("DeadlineSet") :] == [
        "DeadlineSet",
        "CancelRequested",
        "AttemptWithdrawn",
        "DeadlineCleared",
        "WorkflowCancelled",
    ]
    cancelled.survives_crashes()
    paused = running.pause()
    assert paused.result.status == "paused"
    assert paused.unpause().result.output == "7 shipped"
    assert given(ORDER, {"id": 7}).until_running("ship").cancel().result.kinds[-3:] == [
        "CancelRequested",
        "TaskCompleted",
        "WorkflowCancelled",
    ]


def test_time_passes_to_the_instant_behind_a_stop() -> None:
    running = given(ORDER, {"id": 7}).until_running("pack")
    assert running.after("59m").result.status == "in_progress"
    assert running.after("59m").after("2m").result.output == "7 shipped"
    stuck = given(ORDER, {"id": 7}).until_running("pack").after("30m").pause()
    assert stuck.result.status == "paused"
    running.after("59m").survives_crashes()


def test_an_attempt_that_runs_when_its_worker_dies_runs_again() -> None:
    CALLS.clear()
    order = given(ORDER, {"id": 7}).until_running("charge", attempt=2).crash()
    assert order.result.output == "7 shipped"
    assert CALLS == [1, 2, 3]
    assert order.result.kinds.count("AttemptRestarted") == 1
    assert order.result.kinds.count("AttemptWithdrawn") == 0
    order.survives_crashes()


def test_a_backoff_outlives_its_worker() -> None:
    order = given(ORDER, {"id": 7}).until_backoff("charge").crash()
    assert order.result.output == "7 shipped"
    begun = [event.at for event in order.result.events]
    assert begun[-1] - begun[0] >= 3 * 3600 * 1000
    waiting = given(Flow("w").wait_for_signal("go").build()).crash().signal("go", 1)
    assert waiting.result.output == 1


def test_a_stop_that_is_not_reached_says_what_is_instead() -> None:
    waits = Flow("w").wait_for_signal("go").then(ship).build()
    with pytest.raises(
        AssertionError,
        match=r"expected attempt 1 of 'ship' to run, but the workflow is "
        r"awaiting_signal: .*go",
    ):
        _ = given(waits).until_running("ship", attempt=1).result
    with pytest.raises(ValueError, match=r"a task of 'w' \(ship\), but 'shop'"):
        given(waits).until_running("shop")


def test_a_key_function_is_a_task_too() -> None:
    flow = (
        Flow("r")
        .route(lambda value: value, keys=["a"])
        .branch("a", lambda value: value)
        .done()
        .build()
    )
    chosen = given(flow, "a").until_running("branch_0")
    assert chosen.result.kinds == ["WorkflowStarted", "PositionUpdated"]
    assert chosen.to_the_end().result.output == {"branch": "a", "result": "a"}
