"""What type checkers accept of flows, and what they say that it is.

It runs, too: nothing of the types changes what a flow does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict, assert_type

from pydantic import BaseModel

from sayiir_es import Flow, LoopResult, TaskExecutionContext, Workflow, task


class Order(BaseModel):
    """A model."""

    amount: int


class Both(TypedDict):
    """What a join gets."""

    price: float
    stock: int


@dataclass
class Chosen:
    """What flows out of a route."""

    branch: str
    result: object


@task
def price(order: Order) -> float:
    return order.amount * 1.5


@task(retries=2)
async def bill(amount: float, *, workflow_input: Order) -> str:
    return f"{workflow_input.amount}: {amount}"


@task("sent", timeout="30s")
def send(text: str, *, context: TaskExecutionContext, db: object = None) -> list[str]:
    return [text, context.task_id, str(db)]


def stock(order: Order) -> int:
    return order.amount


def both(parts: Both) -> int:
    return parts["stock"]


def as_dict(parts: dict[str, float]) -> int:
    return len(parts)


def kind(amount: int) -> str:
    return "big" if amount > 1 else "small"


def unpack(chosen: Chosen) -> object:
    return chosen.result


def again(count: int) -> LoopResult[int]:
    return LoopResult.done(count)


async def again_async(count: int) -> LoopResult[int]:
    return LoopResult.done(count)


chain = Flow[Order]("chain").then(price).then(bill).delay("nap", 1).then(send)
assert_type(chain, Flow[Order, list[str]])
assert_type(chain.build(), Workflow[Order, list[str]])

joined = Flow[Order]("j").fork().branch(price).branch(stock, kind).join(both)
assert_type(joined, Flow[Order, int])
assert_type(
    Flow[Order]("j").fork().branch(price, name="p").join(as_dict), Flow[Order, int]
)

routed = Flow[int]("r").route(kind, keys=["big", "small"])
routed_on = routed.branch("big", kind).branch("small", kind, name="s").done()
assert_type(routed_on, Flow[int, dict[str, Any]])
assert_type(routed_on.then(unpack), Flow[int, object])

assert_type(Flow[int]("l").loop(again, max_iterations=3), Flow[int, int])
assert_type(Flow[int]("l").loop(again_async, on_max="fail"), Flow[int, int])
assert_type(Flow[int]("l").loop(Flow("b").then(again), name="b"), Flow[int, Any])

signalled = Flow[int]("s").wait_for_signal("ok").then(price)
assert_type(signalled, Flow[int, float])

child = Flow[float]("c").then(bill).build()
assert_type(Flow[Order]("p").then(price).then_flow(child), Flow[Order, str])

plain = Flow("plain").then(price)
assert_type(plain, Flow[Any, float])
assert_type(Flow("u").then(lambda value: value["x"]).then(stock), Flow[Any, int])
assert_type(Flow("d"), Flow[Any, Any])


def of_any_type(workflow: Workflow, flow: Flow) -> Workflow:
    """Annotations without parameters stay fine."""
    return workflow if flow.steps else Flow("empty").then(price).build()


several = [chain.build(), child, of_any_type(joined.build(), plain)]


def start(workflows: list[Workflow]) -> int:
    """Takes any workflows."""
    return len(workflows)


start([chain.build(), child, plain.build()])
