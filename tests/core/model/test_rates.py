"""Rates: how they are written, and when a token is there."""

from __future__ import annotations

import pytest

from sayiir_es.core.model.rates import Rate, parse_rate, rescale


@pytest.mark.parametrize(
    ("text", "rate", "interval_us"),
    [
        ("10/s", Rate(count=10, period_ms=1_000), 100_000),
        ("7/s", Rate(count=7, period_ms=1_000), 142_858),
        ("100/min", Rate(count=100, period_ms=60_000), 600_000),
        ("5/h burst 20", Rate(count=5, period_ms=3_600_000, burst=20), 720_000_000),
        ("1/d", Rate(count=1, period_ms=86_400_000), 86_400_000_000),
        ("100000/s", Rate(count=100_000, period_ms=1_000), 10),
    ],
)
def test_a_rate_is_read_and_its_interval_rounded_up(
    text: str, rate: Rate, interval_us: int
) -> None:
    assert parse_rate(text) == rate
    assert rate.interval_us == interval_us


@pytest.mark.parametrize(
    "text",
    [
        *("", "10", "10/", "0/s", "-1/s", "1.5/s", "10/m", "10/s burst 0"),
        *("10/s  burst 2", "100001/s", "1/s burst 100001", " 10/s", "10/s\n"),
        *("١/s", "10 / s", "10/sec"),
    ],
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a rate such as '10/s'"):
        parse_rate(text)


def test_tokens_are_there_when_the_bucket_says_so() -> None:
    rate = parse_rate("10/s burst 2")
    assert rate.ready_at(0) <= 0
    first = rate.spend(0, 1_000)
    second = rate.spend(first, 1_000)
    assert rate.ready_at(first) <= 1_000
    assert rate.ready_at(second) == 1_100
    assert rate.spend(second, 5_000) == 5_100_000


def test_as_many_tokens_lack_at_another_rate() -> None:
    assert rescale(1_500_000, 1_000, "2/s", "10/s") == 1_100_000
    assert rescale(1_100_000, 1_000, "10/s", "2/s") == 1_500_000
    assert rescale(900_000, 1_000, "10/s", "2/s") == 900_000
    assert rescale(1_000_001, 1_000, "2/s", "10/s") == 1_000_001  # rounded up
