"""The workflows of the sample shop, in virtual time."""

from __future__ import annotations

import pytest

from sayiir_es.cli.dev.sample_shop import orders, price_watch, refunds
from sayiir_es.testing import given


def order(number: int, amount: int = 20) -> dict[str, object]:
    return {"number": number, "item": "lamp", "amount": amount, "city": "Oslo"}


def test_a_small_order_is_shipped_without_anybody() -> None:
    result = given(orders, order(1)).after("30s").result
    assert result.output == {
        "ship": "on its way to Oslo",
        "bill": "invoice of 20.00",
    }


def test_a_large_order_waits_for_somebody() -> None:
    waiting = given(orders, order(1, amount=800)).after("30s")
    assert waiting.result.status == "awaiting_signal"
    approved = waiting.signal("approval", {"ok": True, "by": "ana"}).after("30s")
    assert approved.result.output == {
        "ship": "on its way to Oslo",
        "bill": "invoice of 800.00",
    }


def test_a_large_order_that_nobody_approves_is_not_shipped() -> None:
    result = given(orders, order(1, amount=800)).after("16m").result
    assert result.output == {"ship": "not shipped", "bill": "invoice of nothing"}


def test_what_fails_at_first_is_tried_again() -> None:
    assert given(orders, order(10)).after("2m").result.status == "completed"


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (4, "CardDeclinedError: expected 20 to be covered"),
        (6, "UnknownAddressError: expected a street of Oslo, but none"),
        (19, "Task 'ship' timed out after 3s"),
    ],
)
def test_what_failed_goes_through_when_it_is_retried(number: int, error: str) -> None:
    failed = given(orders, order(number)).after("2m")
    assert failed.result.error == error
    assert failed.retry().after("2m").result.status == "completed"


def test_a_refund_waits_three_minutes_for_the_parcel() -> None:
    refund = given(refunds, None)
    assert refund.after("4m").result.status == "failed"
    paid = given(refunds, None).signal("parcel_is_back", {"weight_kg": 2}).after("5s")
    assert paid.result.output == {"weight_kg": 2, "paid_back": True}


def test_a_price_is_looked_at_until_it_has_fallen() -> None:
    assert given(price_watch, 0).after("5m").result.output == 12
