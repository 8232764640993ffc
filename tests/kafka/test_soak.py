"""Faults of every kind at random times, and one check at the end."""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.kafka.load import Load
from tests.kafka.load_run import finish, read_for
from tests.seeds import first_seed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.broker import LocalBroker
    from tests.kafka.live_app import LiveApp
    from tests.kafka.worker_process import WorkerProcess

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(900)]

SECONDS = float(os.environ.get("SAYIIR_TEST_SOAK_S", "120"))
PER_SECOND = 100.0
PAUSE_S = (0.3, 4.0)
NAP_S = (0.2, 3.5)


class Faults:
    """Faults, each of which is repaired before the next."""

    def __init__(
        self, chance: random.Random, broker: LocalBroker, workers: list[WorkerProcess]
    ) -> None:
        self._chance = chance
        self._broker = broker
        self._workers = workers

    def inject(self) -> str:
        """Inject one fault; returns its name."""
        faults: list[Callable[[], None]] = [
            *[self.kill_a_worker] * 4,
            *[self.freeze_a_worker] * 4,
            *[self.end_a_worker] * 2,
            self.freeze_the_broker,
            self.kill_the_broker,
        ]
        fault = self._chance.choice(faults)
        fault()
        return fault.__name__

    def kill_a_worker(self) -> None:
        """SIGKILL, and a new process at once or after a while."""
        worker = self._chance.choice(self._workers)
        worker.kill()
        if self._chance.random() < 0.5:
            self._nap()
        worker.start()

    def freeze_a_worker(self) -> None:
        """SIGSTOP for less or more than a session."""
        worker = self._chance.choice(self._workers)
        worker.freeze()
        self._nap()
        worker.thaw()

    def end_a_worker(self) -> None:
        """SIGTERM, and a new process."""
        worker = self._chance.choice(self._workers)
        if worker.logged("partition.claimed"):
            worker.terminate()
            worker.start()

    def freeze_the_broker(self) -> None:
        """SIGSTOP of the broker."""
        self._broker.pause(1)
        self._nap()
        self._broker.resume(1)

    def kill_the_broker(self) -> None:
        """SIGKILL of the broker, and a new process."""
        self._broker.kill(1)
        self._broker.start(1)

    def _nap(self) -> None:
        time.sleep(self._chance.uniform(*NAP_S))


def test_nothing_is_lost_or_done_twice_whatever_happens(
    own_live_app: LiveApp, local_broker: LocalBroker
) -> None:
    seed = first_seed()
    print(f"\nseed {seed}")  # noqa: T201 - to run it again
    chance = random.Random(seed)  # noqa: S311 - a schedule, no secret
    workers = [*own_live_app.two_workers(), own_live_app.worker("w3")]
    faults = Faults(chance, local_broker, workers)
    reader = own_live_app.reader()
    end_s = time.monotonic() + SECONDS
    with Load(own_live_app.producer(), "chain", per_second=PER_SECOND) as load:
        while time.monotonic() < end_s:
            read_for(reader, chance.uniform(*PAUSE_S))
            name = faults.inject()
            print(f"{len(load.started)} started: {name}")  # noqa: T201 - progress
        finish(reader, load)
    ignored = sum(len(content.ignored) for content in reader.partitions.values())
    print(f"{ignored} late records were ignored")  # noqa: T201 - asked for
    for worker in workers:
        assert worker.logged("partition.stopped") == []
