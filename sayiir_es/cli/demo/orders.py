"""The workflow of `sayiir-es demo`: an order, from the reservation to the parcel.

Each task notes in a file of its own (in `SAYIIR_DEMO_DIR`) that its function ran, so
that the demo can count executions without asking the engine.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TypedDict

from sayiir_es import Flow, RetryPolicy, get_task_context, task

CHARGE_S = 1.2
"""How long the card network takes: long enough to be killed in the middle."""


class Order(TypedDict):
    """What an order is."""

    item: str
    amount: int


class OutOfStockError(Exception):
    """The shelf was empty when somebody looked."""


def executions(directory: Path, task_id: str) -> list[str]:
    """The idempotency keys under which a task ran, in order."""
    notes = directory / f"{task_id}.ran"
    return notes.read_text().split() if notes.exists() else []


def _note(task_id: str) -> int:
    """Note an execution; returns how many there were before."""
    directory = Path(os.environ.get("SAYIIR_DEMO_DIR", "."))
    before = len(executions(directory, task_id))
    context = get_task_context()
    key = context.idempotency_key if context is not None else "none"
    with (directory / f"{task_id}.ran").open("a") as file:
        file.write(f"{key}\n")
    return before


@task(retries=RetryPolicy(max_retries=2, initial_delay_secs=0.4))
def reserve(order: Order) -> Order:
    """Take the item from the shelf; empty at the first look."""
    if _note("reserve") == 0:
        raise OutOfStockError(f"no {order['item']} on the shelf yet")
    return order


@task(timeout="30s")
async def charge(approval: dict[str, str]) -> dict[str, str]:
    """Ask the card network for the money."""
    _note("charge")
    await asyncio.sleep(CHARGE_S)
    return {"charged": "yes", **approval}


@task
def ship(charged: dict[str, str]) -> str:
    """Hand the parcel over."""
    _note("ship")
    return f"on its way, paid: {charged['charged']}"


@task
def bill(charged: dict[str, str]) -> str:
    """Write the invoice, while the parcel is handed over."""
    _note("bill")
    return f"approved by {charged['by']}"


@task
def close(done: dict[str, str]) -> dict[str, str]:
    """Close the order with what every branch did."""
    return done


orders = (
    Flow("demo-orders")
    .then(reserve)
    .wait_for_signal("approval", timeout="1h")
    .then(charge)
    .delay("cool_off", "1s")
    .fork()
    .branch(ship)
    .branch(bill)
    .join(close)
    .build()
)
