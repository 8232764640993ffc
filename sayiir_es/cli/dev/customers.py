"""The customers of the sample shop: they order, approve, cancel, and send parcels back.

All follows from the number of an order. Numbers go on behind those that the log has.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from sayiir_es.aio import WorkflowClient
from sayiir_es.core.model.errors import BackendError, InstanceAlreadyExistsError

if TYPE_CHECKING:
    from sayiir_es.client.backends import Backend

ITEMS = ("teapot", "lamp", "chair", "bicycle", "kettle", "globe")
CITIES = ("Bern", "Rome", "Oslo", "Lima", "Kyoto")
NAMES = ("ana", "bob", "chloe", "dev", "emil", "fatou", "george")

FIRST_ORDERS = 12
"""So many come at once, that there is something to look at."""

FIRST_PAUSE_S, PAUSE_S, LATER_PAUSE_S = 0.15, 4.0, 60.0
"""Between two orders, in seconds: at first, for a while, and when it is left alone."""

MANY = 150
"""From this number on an order comes a minute, so that no night fills the disk."""

ANSWER_S, QUICK_ANSWER_S = 12.0, 4.0
"""How long a person takes to answer, in seconds, and one in a hurry."""


class Customers:
    """Sends orders and what belongs to them, until it is cancelled."""

    def __init__(self, backend: Backend) -> None:
        self._client = WorkflowClient(backend, conflict_policy="use_existing")
        self._answers: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Send orders, with pauses between them."""
        try:
            number = await self._client.count(workflow="orders") + 1
            first = number
            while True:
                # A worker that begins again is waited for, as any client does.
                with suppress(BackendError):
                    await self._order(number)
                    number += 1
                await asyncio.sleep(_pause_s(number - first, number))
        finally:
            for answer in self._answers:
                answer.cancel()
            await asyncio.gather(*self._answers, return_exceptions=True)
            await self._client.aclose()

    async def _order(self, number: int) -> None:
        instance_id = f"order-{number:04}"
        order = {
            "number": number,
            "item": ITEMS[number % len(ITEMS)],
            "amount": number * 83 % 900 + 20,
            "city": CITIES[number % len(CITIES)],
            "card": f"4000 0000 0000 {number % 10_000:04}",
        }
        attributes = {
            "customer": NAMES[number % len(NAMES)],
            "city": CITIES[number % len(CITIES)],
        }
        await self._client.submit("orders", instance_id, order, attributes=attributes)
        self._answer_later(number, instance_id)
        if number % 6 == 0:
            watch_id = f"watch-{number:04}"
            await self._client.submit("price-watch", watch_id, 0, attributes=attributes)
        if number % 8 == 0:
            refund_id = f"refund-{number:04}"
            await self._client.submit("refunds", refund_id, None, attributes=attributes)

    def _answer_later(self, number: int, instance_id: str) -> None:
        answer = asyncio.create_task(self._answer(number, instance_id))
        self._answers.add(answer)
        answer.add_done_callback(self._answers.discard)

    async def _answer(self, number: int, instance_id: str) -> None:
        """What a person does about an order after a while; about some nothing."""
        kind = number % 13
        await asyncio.sleep(QUICK_ANSWER_S if kind in (3, 7) else ANSWER_S)
        client = self._client
        # It has ended meanwhile, or no worker answers: nobody is told.
        with suppress(BackendError, InstanceAlreadyExistsError):
            match kind:
                case 3:
                    reason = "the customer found it cheaper elsewhere"
                    await client.cancel(instance_id, reason=reason)
                case 7:
                    await client.pause(instance_id, reason="the address is looked into")
                case remainder if remainder % 3:
                    payload = {"ok": remainder != 1, "by": NAMES[remainder % 7]}
                    await client.send_signal(
                        instance_id, "approval", payload, signal_id=f"mail-{number}"
                    )
                case _:
                    pass
            if number % 16 == 0:
                await client.send_signal(
                    f"refund-{number:04}", "parcel_is_back", {"weight_kg": 2}
                )


def _pause_s(since_start: int, number: int) -> float:
    if since_start < FIRST_ORDERS:
        return FIRST_PAUSE_S
    return PAUSE_S if number < MANY else LATER_PAUSE_S
