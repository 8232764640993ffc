"""The workflows that `sayiir-es dev` runs when it is given no module: a shop.

What befalls an order follows from its number, so that the pages have something of each
kind: attempts that are tried again, waits for people, time-outs, and failures that go
away when the instance is retried, as those of other systems do.
"""

from __future__ import annotations

import asyncio
from typing import TypedDict

from sayiir_es import Flow, LoopResult, RetryPolicy, get_task_context, task

WORK_S = 0.4
"""How long a task takes, in seconds."""

LARGE = 500
"""From this amount on somebody approves an order."""


class Order(TypedDict):
    """What a customer sends."""

    number: int
    item: str
    amount: int
    city: str


class Approval(TypedDict):
    """The payload of the signal `approval`."""

    ok: bool
    by: str


class Approved(TypedDict):
    """What comes out of the route: the way that was taken, and its result."""

    branch: str
    result: Approval | None


class OutOfStockError(Exception):
    """The shelf is empty; the next delivery comes soon."""


class UnknownAddressError(Exception):
    """The carrier knows no such address."""


class CardDeclinedError(Exception):
    """The card network declined."""


class MailServerError(Exception):
    """The mail server is busy."""


def _is_first_run() -> bool:
    """Whether the instance was not retried; what failed then works now."""
    context = get_task_context()
    return context is None or context.run == 1


def _attempt() -> int:
    context = get_task_context()
    return 1 if context is None else context.attempt


@task(retries=RetryPolicy(max_retries=4, initial_delay_secs=2), timeout="20s")
async def reserve(order: Order) -> Order:
    """Take the item from the shelf; every fifth one comes with the next delivery."""
    await asyncio.sleep(WORK_S)
    if order["number"] % 5 == 0 and _attempt() <= 2:  # noqa: PLR2004 (twice)
        raise OutOfStockError(f"no {order['item']} on the shelf")
    return order


@task(retries=RetryPolicy(max_retries=2, initial_delay_secs=1), timeout="20s")
async def check_address(order: Order) -> str:
    """Ask the carrier for the address."""
    await asyncio.sleep(WORK_S)
    if order["number"] % 11 == 6 and _is_first_run():  # noqa: PLR2004 (some)
        raise UnknownAddressError(f"expected a street of {order['city']}, but none")
    return order["city"]


@task(timeout="20s")
async def score(order: Order) -> int:
    """How risky an order is."""
    await asyncio.sleep(WORK_S)
    return order["number"] * 37 % 100


@task
def assess(known: dict[str, object], *, reserve: Order) -> Order:
    """The order again, once its address is known and it was scored."""
    del known
    return reserve


def size(order: Order) -> str:
    """Whether somebody approves it."""
    return "large" if order["amount"] >= LARGE else "small"


def pass_on(order: Order) -> Approval:
    """A small order is approved by nobody."""
    del order
    return {"ok": True, "by": "nobody"}


@task(timeout="20s", retries=1, no_retry_on=CardDeclinedError)
async def charge(approved: Approved, *, reserve: Order) -> str:
    """Ask the card network for the money."""
    await asyncio.sleep(2 * WORK_S)
    approval = approved["result"]
    if approval is None or not approval["ok"]:
        return "nothing"
    if reserve["number"] % 9 == 4 and _is_first_run():  # noqa: PLR2004 (some)
        raise CardDeclinedError(f"expected {reserve['amount']} to be covered")
    return f"{reserve['amount']}.00"


@task(timeout="3s", retries=RetryPolicy(max_retries=1, initial_delay_secs=2))
async def ship(charged: str, *, reserve: Order) -> str:
    """Hand the parcel over; the carrier of some cities does not answer."""
    if charged == "nothing":
        return "not shipped"
    is_silent = reserve["number"] % 7 == 5 and _is_first_run()  # noqa: PLR2004 (some)
    await asyncio.sleep(60 if is_silent else WORK_S)
    return f"on its way to {reserve['city']}"


@task(retries=RetryPolicy(max_retries=6, initial_delay_secs=3), timeout="20s")
async def bill(charged: str, *, reserve: Order) -> str:
    """Mail the invoice; the mail server is busy at times."""
    await asyncio.sleep(WORK_S)
    if reserve["number"] % 4 == 2 and _attempt() <= 3:  # noqa: PLR2004 (some)
        raise MailServerError("expected 250 OK, but 421 try again later")
    return f"invoice of {charged}"


@task
def close(done: dict[str, str]) -> dict[str, str]:
    """The order with what each branch did."""
    return done


orders = (
    Flow("orders")
    .then(reserve)
    .fork()
    .branch(check_address)
    .branch(score)
    .join(assess)
    .route(size, keys=["small", "large"])
    .branch("small", pass_on)
    .branch("large", Flow().wait_for_signal("approval", timeout="15m"))
    .done()
    .then(charge)
    .delay("cool_off", "5s")
    .fork()
    .branch(ship)
    .branch(bill)
    .join(close)
    .build()
)


@task
async def pay_back(parcel: dict[str, object]) -> dict[str, object]:
    """Pay the money back, once the parcel is here."""
    await asyncio.sleep(WORK_S)
    return {**parcel, "paid_back": True}


refunds = (
    Flow("refunds")
    .wait_for_signal("parcel_is_back", timeout="3m", on_timeout="fail")
    .then(pay_back)
    .build()
)


@task
async def look_at_price(looks: int) -> dict[str, object]:
    """Look at a price, until it has fallen."""
    await asyncio.sleep(WORK_S)
    again = LoopResult.again(looks + 1) if looks < 12 else LoopResult.done(looks)  # noqa: PLR2004 (a minute)
    return again.to_dict()


price_watch = (
    Flow("price-watch")
    .loop(Flow().delay("between", "5s").then(look_at_price), max_iterations=20)
    .build()
)
