"""`kill -9` of workers and of the broker under load: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import TYPE_CHECKING

import pytest

from sayiir_es.engine.definitions.feed import DefinitionFeed
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.log.kafka.log import KafkaLog
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
ANNOUNCED_LIMIT_S = 30.0


def test_the_announcement_of_a_killed_worker_goes(live_app: LiveApp) -> None:
    keeper, victim = live_app.two_workers()
    until_announced(live_app, {keeper.name, victim.name})
    victim.kill()
    until_announced(live_app, {keeper.name})


def until_announced(live_app: LiveApp, names: set[str]) -> None:
    """Wait until just these workers are announced."""
    end_s = time.monotonic() + ANNOUNCED_LIMIT_S
    while (announced := asyncio.run(read_announced(live_app))) != names:
        assert time.monotonic() < end_s, announced


async def read_announced(live_app: LiveApp) -> set[str]:
    """The names of the workers that are announced now."""
    log, registry = KafkaLog(live_app.bootstrap, app=live_app.app), Registry()
    await log.open(create=False)
    feed = DefinitionFeed(log, registry)
    try:
        await feed.refresh()
    finally:
        await feed.close()
        await log.close()
    return {owner_id.rpartition("/")[0] for owner_id in registry.announced()}


def run_faults(
    reader: EventReader, faults: Sequence[Callable[[], int]], *, every_s: float
) -> list[int]:
    """Inject a fault every so many seconds; returns their times, in epoch ms."""
    times: list[int] = []
    for fault in faults:
        read_for(reader, every_s)
        times.append(fault())
    return times


def kill_and_restart(worker: WorkerProcess) -> int:
    """Kill a worker that owns partitions, and start it again; returns when."""
    worker.until_logged("partition.claimed")
    killed = worker.kill()
    worker.start()
    return killed


def restart_broker(broker: LocalBroker) -> int:
    """Kill the broker, and start it again; returns when."""
    killed = now_ms()
    broker.kill(1)
    broker.start(1)
    return killed


def measure(
    reader: EventReader, victim: str, kills: Sequence[int]
) -> tuple[list[int], list[int]]:
    """How long each take-over took, and other partitions' longest pauses, in ms."""
    take_overs_ms: list[int] = []
    pauses_ms: list[int] = []
    for killed in kills:
        take_over_ms = take_overs(reader, victim, killed)
        contents = reader.partitions.items()
        owned_partitions = [
            p for p, content in contents if owner_at(content, killed) == victim
        ]
        assert sorted(take_over_ms) == owned_partitions
        take_overs_ms += take_over_ms.values()
        until = killed + SESSION_MS + 500
        pauses_ms += [
            longest_pause(reader.partitions[p], killed, until)
            for p in stayed(reader, killed, until)
            if p not in owned_partitions
        ]
    print(  # noqa: T201 - the numbers are what a long run is for
        f"\ntake-over of {len(take_overs_ms)}: median {median(take_overs_ms):.0f}, "
        f"max {max(take_overs_ms)} ms ({sorted(take_overs_ms)}); longest pause of "
        f"{len(pauses_ms)} that stayed: {max(pauses_ms)} ms"
    )
    return take_overs_ms, pauses_ms


@pytest.mark.timeout(180)
def test_a_thousand_instances_complete_once_though_a_worker_is_killed_twice(
    live_app: LiveApp,
) -> None:
    _, victim = live_app.two_workers()
    reader = live_app.reader()
    with Load(live_app.producer(), "chain", per_second=100) as load:
        kills = run_faults(reader, [lambda: kill_and_restart(victim)] * 2, every_s=4)
        finish(reader, load, at_least=INSTANCES)
    measure(reader, victim.name, kills)  # prints; the long run judges the times


@pytest.mark.timeout(180)
def test_a_thousand_instances_complete_once_though_the_broker_is_killed(
    own_live_app: LiveApp, local_broker: LocalBroker
) -> None:
    own_live_app.two_workers()
    reader = own_live_app.reader()

    with Load(own_live_app.producer(), "chain", per_second=100) as load:
        run_faults(reader, [lambda: restart_broker(local_broker)], every_s=3)
        finish(reader, load, at_least=INSTANCES)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_six_kills_of_a_worker_and_one_of_the_broker_cost_a_session_each(
    own_live_app: LiveApp, local_broker: LocalBroker
) -> None:
    _, victim = own_live_app.two_workers()
    reader = own_live_app.reader()

    kill = [lambda: kill_and_restart(victim)] * 3
    with Load(own_live_app.producer(), "chain", per_second=100) as load:
        times = run_faults(
            reader, [*kill, lambda: restart_broker(local_broker), *kill], every_s=16
        )
        run_faults(reader, [now_ms], every_s=5)
        finish(reader, load, at_least=INSTANCES)
    take_overs_ms, pauses_ms = measure(reader, victim.name, [*times[:3], *times[4:]])
    assert median(take_overs_ms) <= SESSION_MS + 500
    assert max(take_overs_ms) <= SESSION_MS + 1_500
    assert max(pauses_ms) <= 500
