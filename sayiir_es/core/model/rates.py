"""Rates: how many attempts may begin in a time, as people write them.

A rate is a bucket of tokens: each attempt takes one, `burst` are in it at most, and one
comes back each `interval_us`. Of a bucket only the time is kept at which it is full
again; so all is whole numbers, and the same wherever it is computed. An interval is
rounded up, to microseconds: a rate is never exceeded, and by so much missed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

PERIODS_MS = {"s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
"""The units of time that a rate may name."""

COUNT_MAX = 100_000
"""The largest number of tokens that a rate names, and the largest burst."""

_RATE = re.compile(r"([1-9][0-9]{0,5})/(s|min|h|d)(?: burst ([1-9][0-9]{0,5}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """`count` tokens each `period_ms`, and at most `burst` at once."""

    count: int
    period_ms: int
    burst: int = 1

    @property
    def interval_us(self) -> int:
        """How many microseconds a token takes to come back."""
        return -(-self.period_ms * 1_000 // self.count)

    def ready_at(self, full_at_us: int) -> int:
        """From which epoch ms on a token is there, if the bucket is full again then."""
        return -(-(full_at_us - (self.burst - 1) * self.interval_us) // 1_000)

    def spend(self, full_at_us: int, now_ms: int) -> int:
        """When the bucket is full again, behind a token that is taken now."""
        return max(full_at_us, now_ms * 1_000) + self.interval_us


@lru_cache(maxsize=1_000)
def parse_rate(text: str) -> Rate:
    """The rate of a text such as `10/s` or `100/min burst 20`.

    Raises:
        ValueError: if it is none.
    """
    match = _RATE.fullmatch(text)
    count, burst = (int(match[1]), int(match[3] or 1)) if match else (0, 0)
    if match is None or count > COUNT_MAX or burst > COUNT_MAX:
        raise ValueError(
            "expected a rate such as '10/s' or '100/min burst 20' (s, min, h or d; "
            f"numbers of 1 to {COUNT_MAX}), but {text[:64]!r}"
        )
    return Rate(count=count, period_ms=PERIODS_MS[match[2]], burst=burst)


def rescale(full_at_us: int, now_ms: int, before: str, after: str) -> int:
    """When a bucket is full again that lacks as many tokens, at another rate.

    A part of a token that is lacking is rounded up, to microseconds.
    """
    lacking_us = full_at_us - now_ms * 1_000
    if lacking_us <= 0:
        return full_at_us
    old, new = parse_rate(before).interval_us, parse_rate(after).interval_us
    return now_ms * 1_000 - (-lacking_us * new // old)
