"""What must hold at the end of a live run; every violation is a sentence.

The topic is judged by a reader that shares no code with the engine, and by the checker
that users have; what was counted by a model that knows no log; what was executed by
what the topic says was due.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

from tests import random_programs
from tests.kafka.reader import TERMINAL
from tests.kafka.verdict import violations
from tests.live import journal
from tests.live.programs import amount, counts_of
from tests.simulation import rules
from tests.simulation.judge import (
    AGAIN,
    Execution,
    of_executions,
    of_outputs,
    token_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sayiir_es.core.graph.graph import Graph
    from tests.kafka.reader import EventReader
    from tests.live.program_worker import ProgramWorker
    from tests.live.programs import Counts

AUDIT_LIMIT_S = 120.0
# A journal does not know where the log ended when an execution began: whether it was
# due before is for the simulation to say, here it must have been due at all.
_END = sys.maxsize


class Verdict:
    """Judges what the workers left behind on the topic and on paper."""

    def __init__(
        self, reader: EventReader, started: Mapping[str, Graph], journals: Path
    ) -> None:
        self._reader = reader
        self._started = started
        self._noted = journal.read(journals)

    def problems(self) -> Iterator[str]:
        """Everything that is wrong, in words."""
        yield from violations(self._reader)
        partitions = self._reader.partitions
        yield from rules.of_instances(partitions, self._started)
        expected = {
            instance_id: random_programs.output_of(graph, instance_id)
            for instance_id, graph in self._started.items()
        }
        yield from of_outputs(partitions, expected, frozenset())
        yield from self._of_ends()
        yield from self._of_restarts()
        yield from self._of_counts()
        yield from of_executions(partitions, list(self._executions()))

    def numbers(self) -> str:
        """How much happened, for people."""
        seen = self._reader.partitions.values()
        valid = list(self._reader.valid())
        kinds = Counter(event.kind for event in valid)
        repeats = len(self._noted) - len({noted.token for noted in self._noted})
        return (
            f"{len(self._started)} instances, {len(valid)} events, "
            f"{sum(len(one.claims) for one in seen)} claims, "
            f"{sum(len(one.ignored) for one in seen)} late records ignored, "
            f"{len(self._noted)} executions, {repeats} of them repeats, "
            f"{sum(kinds[kind] for kind in AGAIN)} restarts, "
            f"{kinds['OutcomeRejected']} outcomes rejected"
        )

    def _of_ends(self) -> Iterator[str]:
        ends = Counter(
            event.instance_id
            for event in self._reader.valid()
            if event.kind in TERMINAL
        )
        yield from (f"{name} ended {n} times" for name, n in ends.items() if n != 1)
        yield from (f"nobody started {name}" for name in ends.keys() - self._started)

    def _of_restarts(self) -> Iterator[str]:
        """What makes an attempt run again is a new owner, once for each."""
        restarts = Counter(
            (token_of(event), event.claim)
            for event in self._reader.valid()
            if event.kind == "AttemptRestarted"
        )
        for (token, claim), times in restarts.items():
            if times > 1:
                yield f"{token} was restarted {times} times under the claim {claim}"

    def _of_counts(self) -> Iterator[str]:
        """No increment is lost, none is extra."""
        counted: Counts = Counter()
        for event in self._reader.valid():
            if event.kind == "TaskCompleted" and event.instance_id in self._started:
                place = self._started[event.instance_id].place(event.text("path"))
                assert place is not None, event.where
                counted[event.instance_id, place.node.id] += amount(
                    event.body["output"]
                )
        expected: Counts = Counter()
        for instance_id, graph in self._started.items():
            expected += counts_of(instance_id, graph)
        for name in sorted(expected.keys() | counted.keys()):
            if counted[name] != expected[name]:
                yield f"{name} counted {counted[name]}, expected {expected[name]}"

    def _executions(self) -> Iterator[Execution]:
        for noted in self._noted:
            instance_id, _, path, _ = noted.token
            place = self._started[instance_id].place(path)
            assert place is not None, noted
            limit_ms = getattr(place.node, "timeout_ms", None)
            yield Execution(noted.token, _END, limit_ms is not None)


def stopped(workers: Sequence[ProgramWorker]) -> Iterator[str]:
    """Where a worker gave up a partition, in any of its lives."""
    for worker in workers:
        for line in worker.log.read_text(errors="replace").splitlines():
            if line.startswith("{") and line.endswith("}"):
                said = json.loads(line)
                if said.get("event") in ("partition.stopped", "partition.crashed"):
                    yield f"{worker.name}: {line}"


def audited(
    bootstrap: str, app: str, workers: Sequence[ProgramWorker]
) -> Iterator[str]:
    """What `audit verify` says of the topics, and of the stores of each worker."""
    line = [sys.executable, "-m", "sayiir_es.cli", "audit", "verify"]
    line += ["--backend", f"kafka://{bootstrap}/{app}"]
    running = [
        subprocess.Popen(  # noqa: S603 - our own command
            [*line, "--state-dir", str(worker.state_dir)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for worker in workers
    ]
    for worker, process in zip(workers, running, strict=True):
        text, _ = process.communicate(timeout=AUDIT_LIMIT_S)
        if process.returncode:
            words = text.decode(errors="replace")
            yield f"audit verify with {worker.name}: {process.returncode}\n{words}"
