"""S-53 to S-60: data flows unchanged."""

from __future__ import annotations

import json
import math

import pytest
from pydantic import BaseModel

from sayiir_es import (
    BackendError,
    Flow,
    InMemoryBackend,
    LoopResult,
    TaskError,
    resume_workflow,
    run_durable_workflow,
    run_workflow,
    send_signal,
)
from tests.sayiir.sample_tasks import add_one, double, same

VALUES = [
    [["a", "5"]],
    [["a", "b"], ["c", [1, 2]]],
    {"z": 1, "a": {"y": 2, "b": 3}},
    2**80,
    -0.1,
    {"_loop": "what", "value": 1},
]


@pytest.mark.parametrize("value", VALUES)
def test_s53_data_of_any_shape_is_data(value: object) -> None:
    flow = Flow().then(same).then(same).build()
    assert run_durable_workflow(flow, "shape", value).output == value
    assert run_workflow(flow, value) == value


@pytest.mark.parametrize("value", VALUES)
def test_s54_loops_routes_and_forks_change_nothing_of_a_value(value: object) -> None:
    def choose_key(_: object) -> str:
        return "a"

    def stop(value: object) -> LoopResult[object]:
        return LoopResult.done(value)

    flow = Flow().loop(stop).route(choose_key, keys=["a"]).branch("a", same).done()
    workflow = flow.fork().branch(same, name="one").join(same).build()
    expected = {"one": {"branch": "a", "result": value}}
    for output in (
        run_durable_workflow(workflow, "x", value).output,
        run_workflow(workflow, value),
    ):
        assert output == expected
        assert repr(output) == repr(expected), "in the same order, of the same types"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_s54_what_json_lacks_is_refused_in_clear_words(value: float) -> None:
    flow = Flow().loop(lambda _: LoopResult.done({"price": value})).build()
    error = run_durable_workflow(flow, "nan", 1).error or ""
    assert f"{value} at $.price" in error
    with pytest.raises(TaskError, match=r"at \$\.price"):
        run_workflow(flow, 1)


def test_s55_the_default_branch_tells_the_key_that_was_chosen() -> None:
    route = Flow().route(lambda _: "other", keys=["a"]).branch("a", same)
    flow = route.default_branch(double).done().build()
    expected = {"branch": "other", "result": 4}
    assert run_durable_workflow(flow, "route", 2).output == expected
    assert run_workflow(flow, 2) == expected


def test_s56_what_follows_a_route_gets_key_and_result() -> None:
    values: list[object] = []
    route = Flow().route(lambda _: "a", keys=["a"]).branch("a", double).done()
    run_durable_workflow(route.then(values.append, name="see").build(), "route", 2)
    assert values == [{"branch": "a", "result": 4}]


def test_s57_a_join_gets_names_in_declared_order() -> None:
    fork = Flow().then(lambda value: value).fork()
    fork.branch(lambda value: value).branch(add_one, double).branch(double, name="z")
    flow = fork.branch(lambda value: value, name="a").join(same).build()
    for output in (run_durable_workflow(flow, "fork", 1).output, run_workflow(flow, 1)):
        assert json.dumps(output) == '{"lambda_1": 1, "add_one": 4, "z": 2, "a": 1}'


def test_s58_the_same_function_in_two_branches_runs_in_both() -> None:
    flow = Flow().fork().branch(double, add_one).branch(double).join(same).build()
    expected = {"double": 5, "double#2": 4}
    assert run_durable_workflow(flow, "fork", 2).output == expected
    assert run_workflow(flow, 2) == expected


@pytest.mark.parametrize("value", [None, 0, False, "", [], {}])
def test_s59_empty_values_are_values(value: object, backend: InMemoryBackend) -> None:
    def stop(value: object) -> LoopResult[object]:
        return LoopResult.done(value)

    flow = (
        Flow()
        .then(same)
        .loop(stop)
        .fork()
        .branch(same, name="b")
        .join(lambda results: results["b"])
    )
    workflow = flow.wait_for_signal("go").then(same).build()
    run_durable_workflow(workflow, "empty", value, backend)
    send_signal("empty", "go", value, backend)
    status = resume_workflow(workflow, "empty", backend)
    assert status.is_completed()
    assert (status.output, type(status.output)) == (value, type(value))


class Order(BaseModel):
    """An order."""

    item: str
    amount: int


def test_s60_models_are_validated_in_and_dumped_out() -> None:
    def increase(order: Order) -> Order:
        return Order(item=order.item, amount=order.amount + 1)

    flow = Flow().then(increase).build()
    expected = {"item": "tea", "amount": 3}
    assert (
        run_durable_workflow(flow, "x", {"item": "tea", "amount": "2"}).output
        == expected
    )
    assert run_workflow(flow, Order(item="tea", amount=2)) == expected
    error = run_durable_workflow(flow, "x", {"item": "tea"}).error or ""
    assert "validation error" in error
    with pytest.raises(RuntimeError, match="validation error"):
        run_workflow(flow, {"item": "tea"})
    assert not issubclass(TaskError, BackendError)
