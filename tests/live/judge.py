"""What must hold at the end of a live run; every violation is a sentence.

The topic is checked by a reader that shares no code with the engine, and by
`audit verify`; the counters by a model that knows no log; the executions by what the
topic says was due.
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
# A journal does not know where the log ended when an execution began. So here it must
# only have been due at some time; the simulation checks that it was due before.
_END = sys.maxsize


class Verdict:
    """Checks what the workers left on the topic and in their journals."""

    def __init__(
        self, reader: EventReader, started: Mapping[str, Graph], journals: Path
    ) -> None:
        self._reader = reader
        self._started = started
        self._entries = journal.read_entries(journals)

    def problems(self) -> Iterator[str]:
        """Everything that is wrong, in words."""
        yield from violations(self._reader)
        partitions = self._reader.partitions
        yield from rules.of_instances(partitions, self._started)
        outputs = {
            instance_id: random_programs.output_of(graph, instance_id)
            for instance_id, graph in self._started.items()
        }
        yield from of_outputs(partitions, outputs, frozenset())
        yield from self._of_ends()
        yield from self._of_restarts()
        yield from self._of_counts()
        yield from of_executions(partitions, list(self._executions()))

    def numbers(self) -> str:
        """How much happened, for people."""
        contents = self._reader.partitions.values()
        valid = list(self._reader.valid())
        kinds = Counter(event.kind for event in valid)
        repeats = len(self._entries) - len({entry.token for entry in self._entries})
        return (
            f"{len(self._started)} instances, {len(valid)} events, "
            f"{sum(len(content.claims) for content in contents)} claims, "
            f"{sum(len(content.ignored) for content in contents)} late records "
            "ignored, "
            f"{len(self._entries)} executions, {repeats} of them repeats, "
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
        """Only a new owner restarts an attempt, at most once."""
        restarts = Counter(
            (token_of(event), event.claim)
            for event in self._reader.valid()
            if event.kind == "AttemptRestarted"
        )
        for (token, claim), times in restarts.items():
            if times > 1:
                yield f"{token} was restarted {times} times under the claim {claim}"

    def _of_counts(self) -> Iterator[str]:
        """No increment is lost or extra."""
        actual: Counts = Counter()
        for event in self._reader.valid():
            if event.kind == "TaskCompleted" and event.instance_id in self._started:
                place = self._started[event.instance_id].place(event.text("path"))
                assert place is not None, event.where
                actual[event.instance_id, place.node.id] += amount(event.body["output"])
        expected_counts: Counts = Counter()
        for instance_id, graph in self._started.items():
            expected_counts += counts_of(instance_id, graph)
        for name in sorted(expected_counts.keys() | actual.keys()):
            if actual[name] != expected_counts[name]:
                yield f"{name} counted {actual[name]}, expected {expected_counts[name]}"

    def _executions(self) -> Iterator[Execution]:
        for entry in self._entries:
            instance_id, _, path, _ = entry.token
            place = self._started[instance_id].place(path)
            assert place is not None, entry
            limit_ms = getattr(place.node, "timeout_ms", None)
            yield Execution(entry.token, _END, limit_ms is not None)


def stopped_partitions(workers: Sequence[ProgramWorker]) -> Iterator[str]:
    """The log lines of any process of the workers that gave up a partition."""
    for worker in workers:
        for line in worker.log.read_text(errors="replace").splitlines():
            if line.startswith("{") and line.endswith("}"):
                fields = json.loads(line)
                if fields.get("event") in ("partition.stopped", "partition.crashed"):
                    yield f"{worker.name}: {line}"


def audit_problems(
    bootstrap: str, app: str, workers: Sequence[ProgramWorker]
) -> Iterator[str]:
    """What `audit verify` finds in the topics, and in the stores of each worker."""
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
