"""What tasks are given by name: the same with a log and without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import pydantic
import pytest

from sayiir_es import (
    EmbeddedBackend,
    Flow,
    InMemoryBackend,
    LoopResult,
    TaskExecutionContext,
    Worker,
    WorkflowClient,
    run_durable_workflow,
    run_workflow,
    task,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sayiir_es import Workflow

    Run: TypeAlias = Callable[[Workflow, object], Any]


class Receipt(pydantic.BaseModel):
    """What a payment gives."""

    amount: int


@task
def charge(order: dict[str, Any]) -> Receipt:
    return Receipt(amount=order["amount"])


@task
async def pack(_receipt: object) -> str:
    return "packed"


@task
def ship(
    parcel: str,
    *,
    workflow_input: dict[str, Any],
    charge: Receipt,
    context: TaskExecutionContext,
) -> list[object]:
    return [parcel, workflow_input["street"], charge.amount, context.task_id]


def run_durable(workflow: Workflow, value: object) -> object:
    with InMemoryBackend() as backend:
        status = run_durable_workflow(workflow, "i", value, backend)
        assert status.is_completed(), status.error
        return status.output


ways = pytest.mark.parametrize("run", [run_durable, run_workflow])


@ways
def test_a_task_names_the_input_a_result_and_its_context(run: Run) -> None:
    flow = Flow("orders").then(charge).then(pack).then(ship).build()
    order = {"amount": 5, "street": "Elm"}
    assert run(flow, order) == ["packed", "Elm", 5, "ship"]


@ways
def test_what_ran_in_branches_is_named_behind_their_join(run: Run) -> None:
    def stock(_order: object) -> int:
        return 3

    async def price(_order: object) -> int:
        return 7

    def total(both: dict[str, int], *, stock: int, price: int) -> list[object]:
        return [both, stock, price]

    flow = Flow("w").fork().branch(stock).branch(price).join(total).build()
    assert run(flow, None) == [{"stock": 3, "price": 7}, 3, 7]


@ways
def test_inside_a_loop_values_are_those_of_the_iteration(run: Run) -> None:
    def read(number: int) -> int:
        return number * 10

    def step(
        tens: int, *, read: int, workflow_input: int, begin: int
    ) -> LoopResult[int]:
        assert read == tens
        number = tens // 10
        if number >= 3:
            return LoopResult.done(number + workflow_input + begin)
        return LoopResult.again(number + 1)

    def begin(_value: int) -> int:
        return 1

    body = Flow("body").then(read).then(step)
    flow = Flow("w").then(begin).loop(body, max_iterations=9).build()
    assert run(flow, 100) == 104


@ways
def test_a_default_stands_where_nothing_of_that_name_ran(run: Run) -> None:
    def tell(value: int, *, unit: str = "EUR") -> str:
        return f"{value} {unit}"

    assert run(Flow("w").then(tell).build(), 5) == "5 EUR"


def unknown(_value: object, *, later: int) -> int:
    return later


def inside(_value: object) -> int:
    return 1


def names_inside(_value: object, *, inside: int) -> int:
    return inside


def key(_value: object, *, charge: int) -> str:
    return str(charge)


@pytest.mark.parametrize(
    ("flow", "says"),
    [
        (
            Flow("w").then(pack).then(unknown).then(inside, name="later"),
            "(pack), workflow_input or context",
        ),
        (Flow("w").then(unknown).then(inside, name="later"), "(none did)"),
        (
            Flow("w").then(inside, name="latter").then(unknown),
            "but 'later'; is 'latter' meant? (a resource needs another name)",
        ),
        (
            Flow("w")
            .route(inside, keys=["a"])
            .branch("a", inside)
            .done()
            .then(names_inside),
            "but 'inside'",
        ),
        (
            Flow("w")
            .fork()
            .branch(pack, inside)
            .branch(charge, inside)
            .join(names_inside),
            "which several branches have",
        ),
        (
            Flow("w").then(charge).route(key, keys=["a"]).branch("a", inside).done(),
            "to take its input and resources, but it needs 'charge' too",
        ),
    ],
)
def test_what_may_not_have_run_is_refused_at_build(flow: Flow, says: str) -> None:
    with pytest.raises(ValueError, match="expected the") as raised:
        flow.build()
    assert says in str(raised.value)


def test_they_are_in_the_graph_and_not_in_the_hash_of_the_definition() -> None:
    def plain(_value: str) -> None: ...

    named = Flow("w").then(charge).then(pack).then(ship).build()
    without = Flow("w").then(charge).then(pack).then(plain, name="ship").build()
    assert named.graph.digest != without.graph.digest
    assert named.definition_hash == without.definition_hash


def test_a_worker_finds_them_after_it_was_started_anew(tmp_path: Path) -> None:
    waiting = (
        Flow("waiting").then(charge).wait_for_signal("go").then(pack).then(ship).build()
    )
    order = {"amount": 5, "street": "Elm"}
    with EmbeddedBackend(tmp_path / "log.db") as backend:
        status = run_durable_workflow(waiting, "i", order, backend)
        assert status.is_awaiting_signal()
    with EmbeddedBackend(tmp_path / "log.db") as backend:
        client = WorkflowClient(backend)
        with Worker("w", backend).start([waiting]):
            client.send_signal("i", "go", None)
            output = client.wait("i", timeout=20).output
    assert output == ["packed", "Elm", 5, "ship"]


def test_an_output_that_does_not_fit_its_name_fails_the_task() -> None:
    def odd(_value: object) -> dict[str, str]:
        return {"amount": "none"}

    def take(_value: object, *, odd: Receipt) -> int:
        return odd.amount

    with InMemoryBackend() as backend:
        flow = Flow("w").then(odd).then(take).build()
        status = run_durable_workflow(flow, "i", 1, backend)
    assert status.error_type == "ValidationError"
