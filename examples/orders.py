"""An order, from the reservation to the parcel, with the most common constructs.

Run it on one file, with two terminals:

    sayiir-es worker run examples.orders
    sayiir-es instance start orders --id order-7 --input '{"item":"teapot","amount":5}'
    sayiir-es instance signal order-7 approval --payload '{"ok":true}'
    sayiir-es instance history order-7

or on Kafka, with as many workers as you like:

    export SAYIIR_BACKEND=kafka://localhost:9092/sayiir
    sayiir-es worker run examples.orders

Tasks are plain functions of one argument, which is the output of the step before. They
return a JSON value, which enters the log once. In tests they are ordinary functions:
`reserve({"item": "teapot", "amount": 5})`.
"""

from __future__ import annotations

import asyncio
from typing import TypedDict

from sayiir_es import Flow, RetryPolicy, get_task_context, task


class Order(TypedDict):
    """The input that a producer sends."""

    item: str
    amount: int


class Approval(TypedDict):
    """The payload of the signal."""

    ok: bool


# A sync task runs on a thread of the worker, so that it may block. It is retried after
# 0.5 s, 1 s and 2 s; the times of the retries survive any crash.
@task(retries=RetryPolicy(max_retries=3, initial_delay_secs=0.5), tags=["stock"])
def reserve(order: Order) -> Order:
    """Take the item from the shelf."""
    if order["amount"] < 1:
        raise ValueError(f"expected an amount of at least 1, but {order['amount']}")
    return order


# An async task runs on the worker's event loop. Its deadline is an event: it counts
# from the attempt's beginning, also across a crash of the worker. The task may run more
# than once: with the idempotency key, the card network charges once.
@task(timeout="30s", retries=2, priority=2)
async def charge(approval: Approval | None) -> dict[str, object]:
    """Ask the card network for the money; None when nobody answered in time."""
    if approval is None or not approval["ok"]:
        return {"charged": False}
    context = get_task_context()
    await asyncio.sleep(0.05)
    return {"charged": True, "key": context.idempotency_key if context else None}


@task
def ship(payment: dict[str, object]) -> dict[str, object]:
    """Hand the parcel over, if it was paid for."""
    return {**payment, "shipped": payment["charged"]}


# `worker run` registers the workflows at the top level of a module. A producer in any
# language starts them by their name.
orders = (
    Flow("orders")
    .then(reserve)
    # It waits without a thread or memory. After two days the wait ends with None.
    .wait_for_signal("approval", timeout="48h")
    .then(charge)
    # A durable timer: it fires though every process was stopped in between.
    .delay("cool_off", "1s")
    .then(ship)
    .build()
)
