"""A limit that spans partitions holds in every simulated world, and is used well."""

from __future__ import annotations

import pytest

from tests.simulation.limited_world import LIMIT, run_limited

KEPT_SEEDS = {
    104: "what an uncertain append made live was not acted on by the next tenure",
    109: "a permit whose return was noted in a lost batch stayed in use for ever",
}
"""Seeds that found a bug, and which."""


@pytest.mark.parametrize("seed", sorted(KEPT_SEEDS))
def test_a_kept_seed_finds_nothing_any_more(seed: int) -> None:
    world = run_limited(seed, keys=3, attempts=40, chaos=True)
    assert not world.problems
    assert world.most == LIMIT


def test_no_world_lets_a_fourth_run() -> None:
    faults = 0
    for seed in range(7, 13):
        world = run_limited(seed, keys=2, attempts=24, chaos=True)
        assert not world.problems, f"seed {seed}: {world.problems[:3]}"
        faults += len(world.chance.fired)
    assert faults > 100


def test_no_world_lets_a_fourth_run_elsewhere() -> None:
    crashes = 0
    for seed in range(28, 31):
        world = run_limited(seed, keys=2, attempts=24, chaos=True, executors=3)
        assert not world.problems, f"seed {seed}: {world.problems[:3]}"
        crashes += world.chance.fault_counts["executor crash while holding"]
    assert crashes > 3


def test_no_world_exceeds_a_rate_or_what_is_set() -> None:
    faults = 0
    for seed in range(4):
        world = run_limited(seed, keys=2, attempts=20, chaos=True, rate="2/s burst 3")
        assert not world.problems, f"seed {seed}: {world.problems[:3]}"
        faults += len(world.chance.fired)
    assert faults > 50


def test_no_world_lets_more_runs_go_on_than_are_in_force() -> None:
    faults, sets = 0, 0
    for seed in range(40, 44):
        world = run_limited(seed, keys=2, attempts=24, chaos=True, running=4)
        assert not world.problems, f"seed {seed}: {world.problems[:3]}"
        faults += len(world.chance.fired)
        sets += world.kinds["LimitSet"]
        assert world.kinds["RunPermitQueued"] > 5
    assert faults > 25
    assert sets > 20


def test_a_limit_is_used_while_there_are_attempts_for_it() -> None:
    world = run_limited(1, keys=12, attempts=240, chaos=False)
    assert not world.problems
    assert world.most == LIMIT
    assert world.executions == 240
    assert world.utilisation >= 0.9


@pytest.mark.long
def test_a_thousand_attempts_of_fifty_keys() -> None:
    for seed in range(20):
        world = run_limited(seed, keys=50, attempts=1000, chaos=True)
        assert not world.problems, f"seed {seed}: {world.problems[:3]}"
        assert world.most == LIMIT
