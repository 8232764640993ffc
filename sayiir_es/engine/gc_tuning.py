"""Calms Python's cyclic garbage collector for a process that holds many live rows."""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 50_000
"""Allocations between two young collections (700 by default): the engine makes no
cycles on its hot path, and a full collection over the cached rows of 50,000 instances
stops everything for 70-130 ms."""

MIDDLE, OLD = 20, 100
"""Collections of one generation before the next one's (10 and 10 by default)."""


def tune_gc() -> None:
    """Leave out what is alive now, and collect the rest more seldom.

    For processes that are workers and nothing else; a library does not decide this for
    the program that uses it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, MIDDLE, OLD)
