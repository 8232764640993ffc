"""How long to wait before a failed attempt is tried again."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sayiir_es.core.graph.nodes import Retry


def retry_delay_ms(retry: Retry, retry_number: int, seed: str) -> int:
    """How long to wait before retry `retry_number` (starts at 1), in milliseconds.

    `floor(initial × multiplier^(k−1))`, at most `max_delay_ms`. Jitter shortens it by
    a share drawn from a hash of `seed` and the number: the same on every machine.
    """
    try:
        delay = retry.initial_delay_ms * retry.backoff_multiplier ** (retry_number - 1)
    except OverflowError:
        delay = float(MAX_DELAY_MS)
    delay = min(delay, float(MAX_DELAY_MS))
    if retry.max_delay_ms is not None:
        delay = min(delay, float(retry.max_delay_ms))
    if retry.jitter:
        drawn = hashlib.sha256(f"{seed}#{retry_number}".encode()).digest()
        share = int.from_bytes(drawn[:8], "big") / 2**64
        delay *= 1.0 - retry.jitter * share
    return int(delay)


MAX_DELAY_MS = 100 * 365 * 24 * 3600 * 1000
"""A century: a longer backoff is a mistake, and `at` must stay a 64-bit number."""
