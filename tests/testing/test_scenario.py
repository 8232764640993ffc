"""Scenarios: steps, virtual time, and crashes behind every event."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
from pydantic import BaseModel

from sayiir_es import Flow, LoopResult, RetryPolicy, get_task_context, task
from sayiir_es.testing import given

CALLS: list[int] = []


@task
def charge(order: dict[str, int]) -> dict[str, int]:
    return {**order, "charged": 1}


@task(retries=RetryPolicy(max_retries=3, initial_delay_secs=3600))
async def flaky(order: dict[str, int]) -> dict[str, int]:
    context = get_task_context()
    assert context is not None
    if context.attempt < 3:
        raise ValueError("not yet")
    return {**order, "attempt": context.attempt}


@task
async def slow(value: object) -> object:
    await asyncio.sleep(5000)
    return value


@task
def ship(approved: object) -> str:
    return "shipped" if approved else "dropped"


class Order(BaseModel):
    """What is ordered."""

    id: int
    note: str | None = None


ORDER = (
    Flow("order")
    .then(charge)
    .then(flaky)
    .delay("cool", "24h")
    .wait_for_signal("approved", timeout="48h")
    .then(ship)
    .build()
)


def test_a_scenario_stops_where_the_workflow_waits() -> None:
    order = given(ORDER, {"id": 7})
    assert order.result.status == "waiting"
    assert "cool" in order.result.waiting_for
    assert order.result.kinds.count("RetryRecorded") == 2
    assert order.after("23h").result.status == "waiting"
    assert order.after("24h").result.status == "awaiting_signal"


def test_a_signal_ends_the_wait() -> None:
    order = given(ORDER, {"id": 7}).signal("approved", payload=True).after("24h")
    assert order.result.output == "shipped"
    assert order.result.error is None


def test_a_time_out_fires_in_its_order() -> None:
    order = given(ORDER, {"id": 7}).after(timedelta(hours=100))
    assert order.result.output == "dropped"
    assert given(ORDER, {"id": 7}).to_the_end().result.output == "dropped"


def test_virtual_time_is_not_waited_for() -> None:
    began = time.monotonic()
    result = given(Flow("slow").then(slow).build(), 1).result
    assert result.output == 1
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("payload", [True, False])
def test_any_crash_leads_to_the_same_end(*, payload: bool) -> None:
    order = given(ORDER, {"id": 7}).after("24h").signal("approved", payload)
    assert order.survives_crashes() == len(order.result.events) - 1
    late = given(ORDER, {"id": 7}).after("80h").signal("approved", payload)
    assert late.result.output == "dropped"
    late.survives_crashes()


def test_cancel_and_pause_hold_at_the_next_boundary() -> None:
    cancelled = given(ORDER, {"id": 7}).cancel("no stock")
    assert cancelled.result.status == "cancelled"
    assert cancelled.result.state.reason == "no stock"
    cancelled.survives_crashes()
    paused = given(ORDER, {"id": 7}).pause()
    assert paused.result.status == "paused"
    again = paused.unpause().signal("approved", payload=True).after("24h")
    assert again.result.output == "shipped"


def test_a_failure_is_a_result_too() -> None:
    def fails(_: object) -> object:
        raise ValueError("no")

    broken = given(Flow("broken").then(fails).build())
    assert broken.result.status == "failed"
    assert broken.result.error is not None
    assert "no" in broken.result.error
    broken.survives_crashes()


def test_what_a_task_names_is_there_after_any_crash() -> None:
    def price(order: dict[str, int]) -> int:
        return order["amount"]

    def bill(_signal: object, *, price: int, workflow_input: dict[str, int]) -> int:
        return price + workflow_input["amount"]

    flow = Flow("w").then(price).wait_for_signal("go").then(bill).build()
    scenario = given(flow, {"amount": 5}).signal("go")
    assert scenario.result.output == 10
    scenario.survives_crashes()


def test_loops_and_forks_survive_too() -> None:
    def count(value: int) -> LoopResult[int]:
        return LoopResult.done(value) if value > 2 else LoopResult.again(value + 1)

    def both(results: dict[str, int]) -> int:
        return sum(results.values())

    flow = (
        Flow("both")
        .loop(count)
        .fork()
        .branch(Flow().delay("nap", "1h"), name="slow")
        .branch(lambda value: value * 2, name="quick")
        .join(both)
        .build()
    )
    scenario = given(flow, 0).to_the_end()
    assert scenario.result.output == 9
    assert scenario.survives_crashes() == len(scenario.result.events) - 1


def test_models_are_inputs_and_payloads() -> None:
    def total(order: Order) -> int:
        return order.id

    def ship(answer: Order, *, total: int) -> Order:
        return Order(id=answer.id + total, note="shipped")

    flow = Flow("models").then(total).wait_for_signal("ok").then(ship).build()
    scenario = given(flow, Order(id=5)).signal("ok", Order(id=2, note="now"))
    assert scenario.result.output == {"id": 7, "note": "shipped"}
    assert scenario.survives_crashes() == len(scenario.result.events) - 1
    nested = given(flow, {"id": 5}).signal("ok", [Order(id=2)])
    assert nested.result.error is not None


def test_what_depends_on_memory_is_found_out() -> None:
    seen: list[int] = []

    def remembers(value: int) -> int:
        seen.append(value)
        return len(seen)

    scenario = given(Flow("bad").then(remembers).then(lambda value: value).build(), 1)
    with pytest.raises(AssertionError, match="crash behind event"):
        scenario.survives_crashes()


def test_attempts_kept_inputs_and_a_runs_time_survive_crashes() -> None:
    @task
    async def decline(_order: dict[str, int]) -> None:
        await asyncio.sleep(10)
        raise LookupError("no card")

    async def remind(problem: dict[str, dict[str, object]]) -> object:
        return problem["error"]["message"]

    def close(text: str, *, answer: object) -> list[object]:
        return [text, answer]

    body = Flow().fork().branch(decline).branch(slow).join(ship)
    flow = (
        Flow("handled", timeout="2d")
        .attempt(body)
        .on_error(Flow().delay("think", "1h").then(remind), errors=LookupError)
        .wait_for_signal("answer", keep_input=True)
        .then(close)
        .build()
    )
    waits = given(flow, {"id": 7}).after("1h")
    assert waits.result.status == "awaiting_signal"
    answered = waits.signal("answer", "no").to_the_end()
    assert answered.result.output == ["no card", "no"]
    answered.survives_crashes()
    late = waits.after("47h")
    assert late.result.status == "failed"
    late.survives_crashes()
