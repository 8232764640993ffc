"""Many seeds and kept ones find nothing; every fault fires; equal seeds are equal."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tests.seeds import first_seed
from tests.simulation.loop import Process, SimLoop
from tests.simulation.run import Report, plain_plan_of, shrink, simulate

ROOT = Path(__file__).resolve().parents[2]

KEPT_SEEDS = {
    2: "a batch of outcomes was lost on its way, and its attempts ran again unrecorded",
    5: "a take-over whose batch was lost was not gone on with by the next tenure",
    12: "the key function of a route ran again, and no event said so",
    28: "a restart was forgotten together with the batch that should have held it",
    35: "a pause on the wrong partition came behind its unpause",
    103: "its own claim landed late, and the owner dropped what it ran",
    479: "forwards that overtook each other: the port promises their order",
    825: "the clock went back, and the outcome of a retried attempt did not count",
    95: "the event of a slot stood before the rest of a decision that was cut",
    1134: "a command was decided before the rest of a decision that a crash cut off",
    893557119987: "a forward that failed took an outcome with it",
    369: "a drain was taken back, and what it kept from being restarted ran unrecorded",
    1004633189366: "a store that failed at its close hid the cancel of a fold ahead",
    1517: "a partition came back to a worker that had dropped its attempts",
    826882048306: "a cancel under a pause waited for a backoff that was over",
    1111: "the simulated log lost what a read that was cancelled had read",
}
"""Seeds that found a bug, and which; the mutants of each are in `mutant_list`."""

KEPT_LIMITED_SEEDS = {
    6: "a fork copied the return of a permit behind the end of its source",
    1000: "a permit that came late again behind a retry was called a second one",
}
"""Seeds that found a bug in worlds with limits, and which."""

FAULTS = {
    *("answer lost", "clock jumps", "clock skewed", "crash", "disk broken"),
    *("disk full", "disk refuses", "drain"),
    *("heartbeat lost", "partition slow", "pause", "produce unanswered"),
    *("request late", "request lost", "said twice", "sent astray", "store torn"),
    *("task slow", "unavailable", "pause asked", "cancel asked", "fork asked"),
    *("executor crash", "executor pause", "executor drain", "outcome forged"),
    *("message lost", "message late", "message doubled", "produce late"),
}
STATES = {
    *("crash while starting", "crash while claiming", "crash while serving"),
    *("crash while running attempts", "pause while running attempts"),
    *("drain while running attempts", "request late while claiming"),
    *("request late while deciding", "request lost while claiming"),
    *("request lost while deciding", "answer lost while claiming"),
    *("answer lost while deciding", "crash while attempts are elsewhere"),
    *("executor crash while holding", "executor pause while holding"),
}


def fail(report: Report) -> None:
    pytest.fail(str(shrink(report)), pytrace=False)


@pytest.mark.parametrize("seed", sorted(KEPT_SEEDS))
def test_a_kept_seed_finds_nothing_any_more(seed: int) -> None:
    report = simulate(seed, plain_plan_of(seed))
    if report.problems:
        fail(report)


@pytest.mark.parametrize("seed", sorted(KEPT_LIMITED_SEEDS))
def test_a_kept_seed_with_limits_finds_nothing_any_more(seed: int) -> None:
    plan = replace(plain_plan_of(seed), limited=True)
    report = simulate(seed, plan)
    if report.problems:
        pytest.fail(str(shrink(report, plan)), pytrace=False)


def simulate_many(first: int, count: int) -> tuple[list[Report], Counter[str]]:
    """The first failed report of so many seeds, and the faults of all, counted."""
    fault_counts: Counter[str] = Counter()
    for seed in range(first, first + count):
        report = simulate(seed)
        fault_counts += report.fault_counts
        if report.problems:
            return [report], fault_counts
    return [], fault_counts


def simulate_on_all_cores(count: int) -> None:
    """So many seeds, from the one on that `tests.seeds` says."""
    first = first_seed()
    print(f"seeds from {first} on; again: SAYIIR_ES_TEST_SEED={first}")  # noqa: T201
    cores = os.cpu_count() or 1
    part = -(-count // cores)
    fault_counts: Counter[str] = Counter()
    with ProcessPoolExecutor(cores) as pool:
        starts = [first + part * core for core in range(cores)]
        for failed, counts in pool.map(simulate_many, starts, [part] * cores):
            fault_counts += counts
            if failed:
                fail(failed[0])
    kinds = {name.partition(" while ")[0] for name in fault_counts}
    assert kinds >= FAULTS, f"never fired: {sorted(FAULTS - kinds)}"
    missing = STATES - set(fault_counts)
    assert not missing, f"never fired in that state: {sorted(missing)}"


@pytest.mark.timeout(600)
def test_many_seeds_find_nothing_and_every_fault_fires() -> None:
    simulate_on_all_cores(220)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_ten_thousand_fresh_seeds_find_nothing() -> None:
    simulate_on_all_cores(10_000)


def test_what_cleans_up_at_the_end_begins_nothing(
    recwarn: pytest.WarningsRecorder,
) -> None:
    begun: list[str] = []

    async def clean_up() -> None:
        begun.append("clean-up")

    async def work() -> None:
        try:
            await asyncio.sleep(9)
        finally:
            await asyncio.create_task(clean_up())

    loop = SimLoop(Random(1))  # noqa: S311 (a simulation's)
    process = Process("w")
    loop.spawn(work(), process)
    loop.run_until_complete(asyncio.sleep(1))
    loop.kill(process)
    loop.discard_tasks()
    loop.close()
    gc.collect()
    assert begun == []
    assert [str(warning.message) for warning in recwarn.list] == []


NOTES = """
import hashlib
from tests.simulation.run import simulate
digests = [simulate(seed).digest for seed in range(7000, 7050)]
print(hashlib.sha256("".join(digests).encode()).hexdigest())
"""


@pytest.mark.timeout(300)
def test_equal_seeds_live_equally_whatever_the_hash_seed() -> None:
    running = [
        subprocess.Popen(  # noqa: S603 (ourselves)
            [sys.executable, "-c", NOTES],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in ("0", "1", "31337")
    ]
    digests = [process.communicate()[0].strip() for process in running]
    assert len(digests[0]) == 64
    assert len(set(digests)) == 1
