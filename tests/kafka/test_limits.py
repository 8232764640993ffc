"""Three at a time under a key, over four workers, eight partitions and kills."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.kafka.limited_worker import LIMIT
from tests.kafka.live_app import PARTITIONS
from tests.kafka.load_run import read_for
from tests.kafka.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.kafka.live_app import LiveApp

pytestmark = [pytest.mark.kafka, pytest.mark.long]

ATTEMPTS, KEYS, WORKERS, KILLS = 1_000, 50, 4, 3
EVERY_S = 10.0
LIMIT_S = 240.0


class LimitedWorker(WorkerProcess):
    """A worker of the limited workflow."""

    program = "tests.kafka.limited_worker"


@dataclass(frozen=True, order=True)
class Execution:
    """One execution, of an attempt by its instance, in seconds of one clock."""

    key: str
    instance_id: str
    began_s: float
    ended_s: float


def executions_of(journal: Path, died_s: dict[int, float]) -> list[Execution]:
    """What the tasks wrote down; what was killed ended when its process did."""
    begun: dict[tuple[str, int], tuple[str, float]] = {}
    executions: list[Execution] = []
    for line in journal.read_text().splitlines():
        what, key, instance_id, pid, at_s = json.loads(line)
        if what == "begin":
            begun[instance_id, pid] = (key, at_s)
        else:
            _, began_s = begun.pop((instance_id, pid))
            executions.append(Execution(key, instance_id, began_s, at_s))
    executions += [
        Execution(key, instance_id, began_s, died_s[pid])
        for (instance_id, pid), (key, began_s) in begun.items()
    ]
    return executions


def most_at_a_time(executions: Iterable[Execution]) -> int:
    """How many attempts ran at a time, at most; an attempt counts once."""
    moments = sorted(
        moment
        for one in executions
        for moment in ((one.began_s, 1, one), (one.ended_s, -1, one))
    )
    running: Counter[str] = Counter()
    most = 0
    for _, change, one in moments:
        running[one.instance_id] += change
        most = max(most, sum(count > 0 for count in running.values()))
    return most


def utilisation(executions: list[Execution], began_s: float) -> float:
    """The share of their limits that the keys used while they had attempts for it."""
    by_key: dict[str, list[Execution]] = defaultdict(list)
    for one in executions:
        by_key[one.key].append(one)
    used_s = wanted_s = 0.0
    for of_key in by_key.values():
        done_s = {one.instance_id: 0.0 for one in of_key}
        for one in of_key:
            done_s[one.instance_id] = max(done_s[one.instance_id], one.ended_s)
        times = sorted(
            {began_s, *(t for one in of_key for t in (one.began_s, one.ended_s))}
        )
        for begin_s, end_s in pairwise(times):
            left = sum(at_s > begin_s for at_s in done_s.values())
            running = {
                one.instance_id
                for one in of_key
                if one.began_s <= begin_s and one.ended_s >= end_s
            }
            used_s += min(len(running), LIMIT) * (end_s - begin_s)
            wanted_s += min(left, LIMIT) * (end_s - begin_s)
    return used_s / wanted_s


def test_never_a_fourth_runs_under_a_key(live_app: LiveApp, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.touch()
    workers: list[LimitedWorker] = []
    died_s: dict[int, float] = {}

    def enter(number: int) -> LimitedWorker:
        worker = LimitedWorker(
            f"w{number}", live_app.bootstrap, live_app.app, tmp_path, str(journal)
        )
        live_app.workers.append(worker)
        return worker.start()

    try:
        workers.append(enter(0))
        workers[0].until_logged("partition.claimed", count=PARTITIONS)
        workers += [enter(number) for number in range(1, WORKERS)]
        for worker in workers[1:]:
            worker.until_logged("partition.claimed", count=PARTITIONS // WORKERS)
        reader, producer = live_app.reader(), live_app.producer()
        began_s = time.monotonic()
        for number in range(ATTEMPTS):
            tenant = {"tenant": f"t{number % KEYS}"}
            producer.start("limited", f"i{number}", tenant)
        producer.flush()
        for number in range(KILLS):
            read_for(reader, EVERY_S)
            victim = workers[1 + number % (WORKERS - 1)]
            pid = victim.pid
            victim.kill()
            died_s[pid] = time.monotonic()
            victim.start()
        reader.until(lambda: len(reader.ended) == ATTEMPTS, LIMIT_S)
    finally:
        for worker in workers:
            worker.__exit__()
    executions = executions_of(journal, died_s)
    assert Counter(reader.ended.values()) == {"WorkflowCompleted": ATTEMPTS}
    for key in {one.key for one in executions}:
        most = most_at_a_time(one for one in executions if one.key == key)
        assert most == LIMIT, key
    share = utilisation(executions, began_s)
    assert share >= 0.9, f"{len(executions)} executions, {share:.3f} used"
