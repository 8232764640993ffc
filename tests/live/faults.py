"""Faults of a live system: each is repaired before the next one."""

from __future__ import annotations

import shutil
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tests.kafka.live_app import PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from tests.broker import LocalBroker
    from tests.live.program_worker import ProgramWorker

_kafka = import_module("confluent_kafka")  # by name: their type hints are partial
_admin = import_module("confluent_kafka.admin")

LIMIT_S = 60.0
NAP_S = (0.2, 3.5)
"""Shorter and longer than a session of the group."""


class FaultInjector:
    """Injects faults, each of which is a method."""

    def __init__(
        self,
        chance: Random,
        broker: LocalBroker,
        workers: Sequence[ProgramWorker],
        app: str,
    ) -> None:
        self._chance = chance
        self._broker = broker
        self._workers = workers
        self._app = app
        self._due: list[Callable[[], None]] = [
            self.kill_a_worker,
            self.freeze_a_worker,
            self.kill_a_broker,
            self.forget_the_group,
        ]
        if len(broker.nodes) > 1:
            self._due.append(self.kill_a_broker_for_long)
        chance.shuffle(self._due)

    @property
    def is_due(self) -> bool:
        """Whether a fault that every run must have has not happened yet."""
        return bool(self._due)

    def inject(self) -> str:
        """Inject one fault; returns its name."""
        fault = self._due.pop() if self._due else self._any()
        fault()
        return fault.__name__

    def _any(self) -> Callable[[], None]:
        often: list[Callable[[], None]] = [
            *[self.kill_a_worker] * 4,
            *[self.freeze_a_worker] * 4,
            self.kill_all_workers,
            self.end_a_worker,
            self.lose_a_state,
            self.forget_the_group,
            self.mislead_the_group,
            self.freeze_a_broker,
            *[self.kill_a_broker] * 2,
        ]
        if len(self._broker.nodes) > 1:
            often += [self.kill_a_broker_for_long] * 2
        return self._chance.choice(often)

    def kill_a_worker(self) -> None:
        """SIGKILL, and a new process at once or after a while."""
        worker = self._chance.choice(self._workers)
        worker.kill()
        if self._chance.random() < 0.5:
            self._nap()
        worker.start()

    def kill_all_workers(self) -> None:
        """SIGKILL of each, and new processes."""
        self._kill_all()
        self._start_all()

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

    def lose_a_state(self) -> None:
        """SIGKILL, and a new process that finds an empty state directory."""
        worker = self._chance.choice(self._workers)
        worker.kill()
        shutil.rmtree(worker.state_dir, ignore_errors=True)
        worker.start()

    def forget_the_group(self) -> None:
        """Delete the consumer group, offsets and all, while no worker lives."""
        self._kill_all()
        self._commit(0)  # so that there are some
        group = f"{self._app}.workers"
        self._until_done(
            lambda admin: admin.delete_consumer_groups([group])[group].result(LIMIT_S)
        )
        self._start_all()

    def mislead_the_group(self) -> None:
        """Commit offsets to the group that would pass over commands."""
        self._kill_all()
        self._commit(1_000_000)
        self._start_all()

    def freeze_a_broker(self) -> None:
        """SIGSTOP of a broker."""
        node = self._chance.choice(self._broker.nodes)
        self._broker.pause(node)
        self._nap()
        self._broker.resume(node)

    def kill_a_broker(self) -> None:
        """SIGKILL of a broker, and a new process at once."""
        node = self._chance.choice(self._broker.nodes)
        self._broker.kill(node)
        self._broker.start(node)

    def kill_a_broker_for_long(self) -> None:
        """SIGKILL of one of several brokers; meanwhile others lead its partitions."""
        node = self._chance.choice(self._broker.nodes)
        self._broker.kill(node)
        for _ in range(3):
            self._nap()
        self._broker.start(node)

    def _kill_all(self) -> None:
        for worker in self._workers:
            worker.kill()

    def _start_all(self) -> None:
        for worker in self._workers:
            worker.start()

    def _nap(self) -> None:
        time.sleep(self._chance.uniform(*NAP_S))

    def _commit(self, offset: int) -> None:
        """Commit an offset to the group for every partition that it might read."""
        group = f"{self._app}.workers"
        offsets = [
            _kafka.TopicPartition(f"{self._app}.{topic}", partition, offset)
            for topic in ("commands", "events")
            for partition in range(PARTITIONS)
        ]
        request: Any = _kafka.ConsumerGroupTopicPartitions(group, offsets)

        def commit(admin: Any) -> None:
            futures: Any = admin.alter_consumer_group_offsets([request])[group]
            for partition_result in futures.result(LIMIT_S).topic_partitions:
                if (
                    partition_result.error is not None
                ):  # the answer as a whole is no error then
                    raise _kafka.KafkaException(partition_result.error)

        self._until_done(commit)

    def _until_done(self, request: Callable[[Any], None]) -> None:
        """Repeat until the broker does it: first the killed members must time out."""
        admin: Any = _admin.AdminClient(
            {"bootstrap.servers": self._broker.bootstrap, "log_level": 0}
        )
        end_s = time.monotonic() + LIMIT_S
        while True:
            try:
                request(admin)
            except _kafka.KafkaException:
                if time.monotonic() > end_s:
                    raise
                time.sleep(0.1)
            else:
                return
