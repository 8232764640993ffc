"""A plain producer of commands: JSON, with librdkafka's partitioner.

That is CRC-32 by default, not Kafka's murmur2, so that with eight partitions seven of
eight records are on the wrong one.
"""

from __future__ import annotations

import json
import threading
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

_kafka = import_module("confluent_kafka")

FLUSH_LIMIT_S = 30.0


def now_ms() -> int:
    """The wall clock, as owners read it."""
    return time.time_ns() // 1_000_000


class PlainProducer:
    """A producer as clients in any language use it."""

    def __init__(self, bootstrap: str, app: str) -> None:
        self._topic = f"{app}.commands"
        self._producer: Any = _kafka.Producer(
            {
                "bootstrap.servers": bootstrap,
                "log_level": 0,
                "message.max.bytes": 2_000_000,
            }
        )
        self.landed: list[tuple[int, int]] = []
        """Partition and offset of each acknowledged record."""

    def start(self, workflow: str, instance_id: str, value: object) -> None:
        """Produce one start record."""
        fields = {
            "command": "StartWorkflow",
            "workflow": workflow,
            "instance_id": instance_id,
            "input": value,
        }
        self.send(instance_id.encode(), json.dumps(fields).encode())

    def command(self, name: str, instance_id: str, **fields: object) -> None:
        """Produce one other command."""
        text = json.dumps({"command": name, "instance_id": instance_id, **fields})
        self.send(instance_id.encode(), text.encode())

    def send(
        self, key: bytes | None, value: bytes | None, partition: int | None = None
    ) -> None:
        """Produce any record."""
        where = {} if partition is None else {"partition": partition}
        self._producer.produce(
            self._topic, value, key, on_delivery=self._delivered, **where
        )
        self._producer.poll(0)

    def flush(self) -> list[tuple[int, int]]:
        """Wait until everything is acknowledged; returns partitions and offsets."""
        assert self._producer.flush(FLUSH_LIMIT_S) == 0
        return self.landed

    def _delivered(self, error: Any, message: Any) -> None:
        assert error is None, error
        self.landed.append((message.partition(), message.offset()))


class Load:
    """Starts instances at an even rate on a thread of its own; a context manager."""

    def __init__(
        self, producer: PlainProducer, workflow: str, *, per_second: float
    ) -> None:
        self._producer = producer
        self._workflow = workflow
        self._pause_s = 1 / per_second
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.started: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> Sequence[str]:
        """Start no more; the ids of all that were started."""
        self._stop.set()
        self._thread.join()
        self._producer.flush()
        return self.started

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            instance_id = f"load-{len(self.started)}"
            self._producer.start(self._workflow, instance_id, len(self.started))
            self.started.append(instance_id)
            due += self._pause_s
