"""`kill -9` of workers and of the broker under load: nothing lost, nothing twice."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import pytest

from tests.kafka.load import Load, now_ms
from tests.kafka.load_run import finish, read_for
from tests.kafka.pauses import longest_pause, owner_at, stayed, take_overs
from tests.kafka.worker_process import SESSION_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.broker import LocalBroker
    from tests.kafka.live_app import LiveApp
    from tests.kafka.reader import EventReader
    from tests.kafka.worker_process import WorkerProcess

pytestmark = pytest.mark.kafka

INSTANCES = 1_000


def run_faults(
    reader: EventReader, faults: Sequence[Callable[[], int]], *, every_s: float
) -> list[int]:
    """Let each fault happen at its time; when each did, in epoch milliseconds."""
    times: list[int] = []
    for fault in faults:
        read_for(reader, every_s)
        times.append(fault())
    return times


def murder(worker: WorkerProcess) -> int:
    """Kill a worker that owns partitions, and start it again."""
    worker.until_logged("partition.claimed")
    killed = worker.kill()
    worker.start()
    return killed


def restart(broker: LocalBroker) -> int:
    """Kill the broker, and start it again."""
    killed = now_ms()
    broker.kill(1)
    broker.start(1)
    return killed


def measure(
    reader: EventReader, victim: str, kills: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Milliseconds of every take-over, and of the longest pause of what stayed."""
    moved: list[int] = []
    kept: list[int] = []
    for killed in kills:
        found = take_overs(reader, victim, killed)
        seen = reader.partitions.items()
        owned = [p for p, one in seen if owner_at(one, killed) == victim]
        assert sorted(found) == owned
        moved += found.values()
        until = killed + SESSION_MS + 500
        kept += [
            longest_pause(reader.partitions[p], killed, until)
            for p in stayed(reader, killed, until)
            if p not in owned
        ]
    print(  # noqa: T201 - the numbers are what a long run is for
        f"\ntake-over of {len(moved)}: median {median(moved):.0f}, max {max(moved)} ms"
        f" ({sorted(moved)}); longest pause of {len(kept)} that stayed: {max(kept)} ms"
    )
    return moved, kept


@pytest.mark.timeout(180)
def test_a_thousand_instances_complete_once_though_a_worker_is_killed_twice(
    stage: LiveApp,
) -> None:
    _, victim = stage.two_workers()
    reader = stage.reader()
    with Load(stage.producer(), "chain", per_second=100) as load:
        kills = run_faults(reader, [lambda: murder(victim)] * 2, every_s=4)
        finish(reader, load, at_least=INSTANCES)
    moved, kept = measure(reader, victim.name, kills)
    assert median(moved) <= SESSION_MS + 1_000
    assert max(moved) <= SESSION_MS + 2_500
    assert max(kept) <= 1_000


@pytest.mark.timeout(180)
def test_a_thousand_instances_complete_once_though_the_broker_is_killed(
    own_stage: LiveApp, local_broker: LocalBroker
) -> None:
    own_stage.two_workers()
    reader = own_stage.reader()

    with Load(own_stage.producer(), "chain", per_second=100) as load:
        run_faults(reader, [lambda: restart(local_broker)], every_s=3)
        finish(reader, load, at_least=INSTANCES)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_six_kills_of_a_worker_and_one_of_the_broker_cost_a_session_each(
    own_stage: LiveApp, local_broker: LocalBroker
) -> None:
    _, victim = own_stage.two_workers()
    reader = own_stage.reader()

    kill = [lambda: murder(victim)] * 3
    with Load(own_stage.producer(), "chain", per_second=100) as load:
        times = run_faults(
            reader, [*kill, lambda: restart(local_broker), *kill], every_s=16
        )
        run_faults(reader, [now_ms], every_s=5)
        finish(reader, load, at_least=INSTANCES)
    moved, kept = measure(reader, victim.name, [*times[:3], *times[4:]])
    assert median(moved) <= SESSION_MS + 500
    assert max(moved) <= SESSION_MS + 1_500
    assert max(kept) <= 500
