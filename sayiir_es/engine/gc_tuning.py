"""Settings of Python's cyclic garbage collector for a process with many live rows."""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 50_000
"""Allocations between two collections of the youngest generation (700 by default). The
engine makes no cycles on its hot path, and a full collection over the cached rows of
50,000 instances stops everything for 70-130 ms."""

MIDDLE, OLD = 20, 100
"""How many collections of a generation come before one of the next (10 and 10 by
default)."""


def tune_gc() -> None:
    """Exclude all objects that are alive now, and collect the others less often.

    Only for processes that are workers and nothing else: a library must not decide this
    for the program that uses it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, MIDDLE, OLD)
