"""Pydantic models: validated in, dumped out, in both engines."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from sayiir_es import (
    Flow,
    LoopResult,
    TaskError,
    run_durable_workflow,
    run_workflow,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sayiir_es import Workflow


class Order(BaseModel):
    """The value that the tasks pass on."""

    item: str
    amount: int
    on: date = date(2026, 1, 2)


def simply(workflow: Workflow, value: object) -> object:
    return run_workflow(workflow, value)


def durably(workflow: Workflow, value: object) -> object:
    status = run_durable_workflow(workflow, "i", value)
    assert status.error is None, status.error
    return status.output


both = pytest.mark.parametrize("run", [simply, durably])


def increase(order: Order) -> Order:
    assert isinstance(order, Order)
    return order.model_copy(update={"amount": order.amount + 1})


async def duplicate(order: Order) -> list[Order]:
    return [order, order]


def total_amount(orders: list[Order]) -> int:
    return sum(order.amount for order in orders)


def maybe(order: Order | None) -> str:
    return "none" if order is None else order.item


@both
def test_models_flow_through_sync_and_async_tasks(
    run: Callable[[Workflow, object], object],
) -> None:
    flow = Flow().then(increase).then(duplicate).then(total_amount).build()
    assert run(flow, {"item": "teapot", "amount": 2}) == 6
    assert run(flow, Order(item="teapot", amount=3)) == 8


@both
def test_a_result_is_json_data(run: Callable[[Workflow, object], object]) -> None:
    flow = Flow().then(increase).build()
    assert run(flow, {"item": "a", "amount": 1}) == {
        "item": "a",
        "amount": 2,
        "on": "2026-01-02",
    }


@both
def test_optional_models_are_validated(
    run: Callable[[Workflow, object], object],
) -> None:
    assert run(Flow().then(maybe).build(), None) == "none"
    assert run(Flow().then(maybe).build(), {"item": "x", "amount": 1}) == "x"


@both
def test_a_loop_may_carry_models(run: Callable[[Workflow, object], object]) -> None:
    def until_three(order: Order) -> LoopResult[Order]:
        done = order.amount >= 3
        return LoopResult.done(order) if done else LoopResult.again(increase(order))

    output = run(Flow().loop(until_three).build(), {"item": "x", "amount": 1})
    assert output == {"item": "x", "amount": 3, "on": "2026-01-02"}


def test_an_input_that_does_not_fit_fails_the_task_in_pydantics_words() -> None:
    flow = Flow().then(increase).build()
    with pytest.raises(TaskError, match="validation error"):
        run_workflow(flow, {"item": "x"})
    status = run_durable_workflow(flow, "i", {"item": "x"})
    assert status.is_failed()
    assert status.error is not None
    assert "validation error" in status.error


@both
def test_a_list_that_holds_itself_is_refused_in_the_codecs_words(
    run: Callable[[Workflow, object], object],
) -> None:
    def ring(_: object) -> list[object]:
        value: list[object] = []
        value.append(value)
        return value

    with pytest.raises((TaskError, AssertionError), match="a list that holds itself"):
        run(Flow().then(ring).build(), 1)
    value = ring(None)
    with pytest.raises(TypeError, match="a list that holds itself"):
        run(Flow().then(maybe).build(), value)
