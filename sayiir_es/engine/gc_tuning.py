"""Settings of Python's cyclic garbage collector for a process with many live rows."""

from __future__ import annotations

import asyncio
import gc
import time

YOUNG_OBJECTS = 50_000
"""Allocations between two collections of the youngest generation (700 by default). The
engine makes no cycles on its hot path, and a full collection over the cached rows of
50,000 instances stops everything for 70-130 ms."""

MIDDLE, OLD = 20, 20_000
"""How many collections of a generation come before one of the next (10 and 10 by
default). Of the middle one there are 1 to 20 in a second: see `collect_young`."""

SOONEST_S, LATEST_S = 0.05, 1.0
"""How long young objects wait for a collection, in seconds. One looks at each object
that is alive, once; of those that a busy worker makes most die within a second, so the
later, the fewer are alive."""

SHARE = 0.02
"""How much of the time collections take, about, where `LONGEST_S` lets them."""

LONGEST_S = 0.02
"""How long one collection stops everything, about, in seconds."""


def tune_gc() -> None:
    """Exclude all objects that are alive now, and collect the others less often.

    Only for processes that are workers and nothing else: a library must not decide this
    for the program that uses it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, MIDDLE, OLD)


def next_wait_s(waited_s: float, took_s: float) -> float:
    """How long the next collection waits, in seconds, behind one of such a wait.

    Longer while they take more than their share of the time, as long as one does not
    take too long.
    """
    if took_s <= 0:
        return SOONEST_S
    by_length_s = waited_s * LONGEST_S / took_s
    return min(max(min(took_s / SHARE, by_length_s), SOONEST_S), LATEST_S)


async def collect_young() -> None:
    """Collect the young objects again and again, for ever.

    The collector counts what was allocated less what was freed. While a take-over lets
    go of old rows as fast as it makes new ones, the count stands still, and hundreds of
    thousands of young objects are then collected in one stretch of 60 ms.
    """
    wait_s = SOONEST_S
    while True:
        await asyncio.sleep(wait_s)
        began_s = time.perf_counter()
        gc.collect(1)
        wait_s = next_wait_s(wait_s, time.perf_counter() - began_s)
