"""One live run of a seed: programs and traffic with faults, then without, then checks.

Theory of operation. The seed fixes the programs, the commands and the order of the
faults; how long each thing takes depends on the machine. A run is over when every
instance that was started has ended and every command has its answer. There is a limit
for that, because no fault happens any more.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from tests.kafka.live_app import PARTITIONS
from tests.kafka.load import PlainProducer
from tests.kafka.load_run import read_for
from tests.kafka.reader import EventReader
from tests.kafka.verdict import open_commands
from tests.live import judge
from tests.live.faults import FaultInjector
from tests.live.program_worker import ProgramWorker
from tests.live.programs import graphs_of
from tests.live.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.broker import LocalBroker

APP = "live"
PAUSE_S = (0.2, 2.5)
"""Seconds between two faults: less and more than it takes to recover from one."""
END_LIMIT_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How large a run is."""

    seed: int
    seconds: float
    """For so long faults begin; every run has the first few, however short it is."""
    per_second: float
    """How many instances are started a second."""
    workers: int = 3


def run_plan(broker: LocalBroker, folder: Path, plan: Plan) -> None:
    """Run on a fresh broker; `AssertionError` if something is wrong at the end."""
    _print(f"\nseed {plan.seed}; again: SAYIIR_ES_TEST_SEED={plan.seed}")
    journal = folder / "journal"
    with ExitStack() as stack:
        workers = [
            ProgramWorker(
                f"w{number}",
                broker.bootstrap,
                APP,
                folder,
                str(plan.seed),
                str(journal),
            )
            for number in range(plan.workers)
        ]
        try:
            _run(broker, [stack.enter_context(w) for w in workers], plan, journal)
        except BaseException:
            for worker in workers:
                _print(f"== {worker.name}\n{worker.tail()}")
            raise


def _run(
    broker: LocalBroker, workers: Sequence[ProgramWorker], plan: Plan, journal: Path
) -> None:
    chance = Random(plan.seed)  # noqa: S311 - a schedule, no secret
    workers[0].until_logged("partition.claimed")  # the topics exist then
    faults = FaultInjector(chance, broker, workers, APP)
    traffic = Traffic(
        PlainProducer(broker.bootstrap, APP),
        graphs_of(plan.seed),
        plan.seed,
        per_second=plan.per_second,
    )
    fault_counts: Counter[str] = Counter()
    with EventReader(broker.bootstrap, APP, PARTITIONS) as reader:
        end_s = time.monotonic() + plan.seconds
        with traffic:
            while faults.is_due or time.monotonic() < end_s:
                read_for(reader, chance.uniform(*PAUSE_S))
                name = faults.inject()
                fault_counts[name] += 1
                _print(f"{len(traffic.started)} started: {name}")
        _until_over(reader, traffic)
        for worker in workers:
            worker.until_logged("partition.claimed")
            worker.terminate()
        verdict = judge.Verdict(reader, traffic.started, journal)
        problems = [*verdict.problems(), *judge.stopped_partitions(workers)]
        problems += judge.audit_problems(broker.bootstrap, APP, workers)
        _print(f"{verdict.numbers()}; {dict(fault_counts)}")
        assert not problems, f"seed {plan.seed}:\n" + "\n".join(problems[:20])


def _until_over(reader: EventReader, traffic: Traffic) -> None:
    """Read on until every instance has ended and every command is answered."""
    started = traffic.started
    try:
        reader.until(lambda: reader.ended.keys() >= started.keys(), END_LIMIT_S)
    except TimeoutError as error:
        missing = sorted(started.keys() - reader.ended.keys())
        first = missing[0]
        raise AssertionError(
            f"{len(missing)} of {len(started)} never ended: {missing[:5]}, the first "
            f"of {started[first].name} with {reader.kinds(first)}"
        ) from error
    reader.until(lambda: open_commands(reader) == 0, END_LIMIT_S)


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - progress, and how to do it again
