"""One seed: `python -m tests.simulation.run SEED [--only FAULTS]` replays a line."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import WorkflowError
from sayiir_es.testing.virtual_time import DeadlockError
from tests.captured_logs import without_logs
from tests.simulation import judge
from tests.simulation.chance import Chance
from tests.simulation.loop import Process, SimLoop
from tests.simulation.world import Plan, World

if TYPE_CHECKING:
    from collections.abc import Sequence

SHRINK_RUNS_MAX = 60


@dataclass(kw_only=True)
class Report:
    """The result of one seed."""

    seed: int
    problems: list[str]
    digest: str
    fired: list[str]
    fault_counts: Counter[str] = field(default_factory=Counter[str])
    steps: int = 0
    events: int = 0
    forks: int = 0
    """How many instances began with the history of another."""

    def __str__(self) -> str:
        lines = "\n  ".join(self.problems[:10])
        return (
            f"seed {self.seed}, notes {self.digest[:12]}, {len(self.fired)} faults:\n"
            f"  {lines}\nreplay: {self.replay}"
        )

    @property
    def replay(self) -> str:
        """The command line that runs it again."""
        return f"python -m tests.simulation.run {self.seed} --only '{self._only}'"

    @property
    def _only(self) -> str:
        return "|".join(self.fired)


def plan_of(seed: int) -> Plan:
    """The world that a seed draws: its size, and what there is in it."""
    chance = Random(seed * 104_729 + 3)  # noqa: S311 (a simulation's)
    return replace(
        plain_plan_of(seed),
        executors=chance.choice([1, 2, 3]) if chance.random() < 0.4 else 0,
        limited=chance.random() < 0.25,
        children=chance.random() < 0.25,
    )


def plain_plan_of(seed: int) -> Plan:
    """The size of the world that a seed draws, with workers only."""
    chance = Random(seed * 7919 + 1)  # noqa: S311 (a simulation's)
    return Plan(
        workers=chance.choice([1, 2, 2, 3]),
        partitions=chance.choice([1, 2, 3]),
        instances=chance.randint(1, 5),
        nodes=chance.choice([4, 8, 12, 20]),
    )


@without_logs()
def simulate(
    seed: int,
    plan: Plan | None = None,
    *,
    only: frozenset[str] | None = None,
    kill_at: int = 0,
) -> Report:
    """Run one world to its end; the process of step `kill_at` is killed before it."""
    chance = Chance(seed, only)
    if plan is not None and not plan.chaos:
        chance.intensity = 0.0
    loop = SimLoop(Random(seed))  # noqa: S311 (a simulation's)
    asyncio.set_event_loop(loop)
    world = World(plan or plan_of(seed), chance, loop)

    def strike(step: int, process: Process) -> None:
        if step == kill_at:
            world.fleet.crash_process(process)

    loop.on_step = strike
    try:
        problems = loop.run_until_complete(world.run())
    except (DeadlockError, WorkflowError) as error:
        problems = [f"{type(error).__name__}: {error}"]
    finally:
        loop.discard_tasks()
        asyncio.set_event_loop(None)
        loop.close()
    return Report(
        seed=seed,
        problems=problems,
        digest=world.notes.hexdigest(),
        fired=list(chance.fired),
        fault_counts=chance.fault_counts,
        steps=loop.steps,
        events=world.event_count(),
        forks=len(judge.forked_instances(judge.read_all(world.log))),
    )


def shrink(report: Report, plan: Plan | None = None) -> Report:
    """Leave out as many faults of a failing run as it still fails without."""
    runs, part = 0, max(1, len(report.fired) // 2)
    while report.fired and runs < SHRINK_RUNS_MAX:
        smaller = None
        for first in range(0, len(report.fired), part):
            left_out = report.fired[first : first + part]
            runs += 1
            smaller_report = simulate(
                report.seed, plan, only=frozenset(report.fired) - frozenset(left_out)
            )
            if smaller_report.problems:
                smaller = smaller_report
                break
        if smaller is not None:
            report = smaller
            part = max(1, min(part, len(report.fired) // 2))
        elif part == 1:
            break
        else:
            part //= 2
    return report


def main(arguments: Sequence[str]) -> int:
    """Replay one seed, or look for a failing one from it on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--only", help="faults that may fire, between bars")
    parser.add_argument("--count", type=int, default=1)
    options = parser.parse_args(arguments)
    fault_counts: Counter[str] = Counter()
    for seed in range(options.seed, options.seed + options.count):
        only = None if options.only is None else frozenset(options.only.split("|"))
        report = simulate(seed, only=only)
        fault_counts += report.fault_counts
        if report.problems:
            print(shrink(report))  # noqa: T201 (a command)
            return 1
    print(f"{options.count} seeds from {options.seed} on: no violation")  # noqa: T201 (a command)
    for name, count in sorted(fault_counts.items()):
        print(f"{count:8} {name}")  # noqa: T201 (a command)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
