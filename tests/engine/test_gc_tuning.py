"""How often a worker collects its young objects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sayiir_es.engine.gc_tuning import (
    LATEST_S,
    LONGEST_S,
    SHARE,
    SOONEST_S,
    next_wait_s,
)


def settled_wait_s(cost: float) -> float:
    """Where waits end if a collection takes that part of the time that it waited."""
    wait_s = SOONEST_S
    for _ in range(200):
        wait_s = next_wait_s(wait_s, wait_s * cost)
    return wait_s


def test_an_idle_worker_collects_soon() -> None:
    assert settled_wait_s(0.0) == SOONEST_S
    assert settled_wait_s(SHARE / 2) == SOONEST_S


def test_a_busy_worker_collects_later() -> None:
    assert settled_wait_s(SHARE * 1.01) > 2 * SOONEST_S


@pytest.mark.parametrize("cost", [0.05, 0.1, 0.3])
def test_no_collection_takes_too_long(cost: float) -> None:
    assert settled_wait_s(cost) * cost == pytest.approx(LONGEST_S)


def test_what_can_not_be_short_is_at_least_soon() -> None:
    assert settled_wait_s(0.9) == SOONEST_S


@given(st.floats(SOONEST_S, LATEST_S), st.floats(0, 100))
def test_every_wait_is_bounded(waited_s: float, took_s: float) -> None:
    assert SOONEST_S <= next_wait_s(waited_s, took_s) <= LATEST_S
