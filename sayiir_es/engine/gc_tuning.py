"""Settings of Python's cyclic garbage collector for a process with many live rows."""

from __future__ import annotations

import asyncio
import gc

YOUNG_OBJECTS = 50_000
"""Allocations between two collections of the youngest generation (700 by default). The
engine makes no cycles on its hot path, and a full collection over the cached rows of
50,000 instances stops everything for 70-130 ms."""

MIDDLE, OLD = 20, 20_000
"""How many collections of a generation come before one of the next (10 and 10 by
default). Of the middle one there are 20 in a second: see `collect_young`."""

COLLECT_EVERY_S = 0.05
"""How often the young objects are collected, in seconds: those of so much time take
some 5 ms."""


def tune_gc() -> None:
    """Exclude all objects that are alive now, and collect the others less often.

    Only for processes that are workers and nothing else: a library must not decide this
    for the program that uses it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, MIDDLE, OLD)


async def collect_young() -> None:
    """Collect the young objects again and again, for ever.

    The collector counts what was allocated less what was freed. While a take-over lets
    go of old rows as fast as it makes new ones, the count stands still, and hundreds of
    thousands of young objects are then collected in one stretch of 60 ms.
    """
    while True:
        await asyncio.sleep(COLLECT_EVERY_S)
        gc.collect(1)
