"""How many events a second one core verifies, and how much memory that takes.

Run `python benchmarks/verify.py [INSTANCES]`. One real run (tasks, a time-out, a retry,
a delay and a fork) is written again for as many instances, a thousand of them alive at
any time. Checking includes reading the bytes of each event; reading the log does not
count.
"""
# ruff: noqa: INP001  # a program, no package

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.engine.history import claimed, copies, record, record_run, workflow
from sayiir_es.audit import Checker
from sayiir_es.core.graph.record import record_of_graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.log.port import Record

INSTANCES = 20_000
PER_CHUNK = 1_000


def measured(checker: Checker, records: Sequence[Record]) -> float:
    """CPU seconds that a chunk of records takes to check."""
    answered = checker.commands_wanted(0)
    begin = time.process_time()
    for record_to_check in records:
        for violation in checker.take(0, record_to_check):
            raise AssertionError(violation)
    upto = checker.commands_wanted(0)
    late_violations = checker.take_commands(0, range(answered, upto), past=upto)
    assert not late_violations, late_violations[0]
    return time.process_time() - begin


def main() -> None:
    """Measure and print."""
    instances = int(sys.argv[1]) if len(sys.argv) > 1 else INSTANCES
    bench_workflow = workflow()
    events = record_run(bench_workflow)
    checker = Checker(partitions=1)
    checker.take_definition(record_of_graph(bench_workflow.graph))
    chunk = [record(0, claimed(events[0].at))]
    seconds, count, alive = 0.0, 1, 0
    for event in copies(events, instances):
        chunk.append(record(count, event))
        count += 1
        if len(chunk) >= PER_CHUNK:
            seconds += measured(checker, chunk)
            alive = max(alive, checker.live)
            chunk = []
    seconds += measured(checker, chunk)
    assert not checker.finish()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(
        f"{count:,} events of {instances:,} instances in {seconds:.1f} s of CPU: "
        f"{count / seconds:,.0f} events/s; at most {alive:,} instances in memory, "
        f"{peak_mb:.0f} MB in all\n"
    )


if __name__ == "__main__":
    main()
