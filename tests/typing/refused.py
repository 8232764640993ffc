"""What type checkers refuse: each line that ends in `# no` has a wrong join."""

from __future__ import annotations

from sayiir_es import Flow, LoopResult, task
from tests.typing.accepted import Order, again, bill, child, kind, price, send, stock


@task
def listed(values: list[str]) -> int:
    return len(values)


@task
async def slow(order: Order) -> str:
    return str(order.amount)


def no_loop(count: int) -> int:
    return count


def loops_text(text: str) -> LoopResult[str]:
    return LoopResult.done(text)


Flow[int]("w").then(price)  # no
Flow[Order]("w").then(price).then(send)  # no
Flow("w").then(price).then(stock)  # no
Flow("w").then(slow).then(price)  # no
Flow[Order]("w").then(price).delay("nap", 1).then(listed)  # no
Flow[Order]("w").fork().branch(bill)  # no
Flow[Order]("w").fork().branch(bill, kind)  # no
Flow[Order]("w").fork().branch(price).branch(stock).join(listed)  # no
Flow[str]("w").route(kind, keys=["a"])  # no
Flow[int]("w").route(kind, keys=["a"]).branch("a", kind).done().then(listed)  # no
Flow[int]("w").loop(no_loop)  # no
Flow[int]("w").loop(loops_text)  # no
Flow[str]("w").loop(again)  # no
Flow[Order]("w").then_flow(child)  # no
Flow[Order]("w").then("price")  # no
