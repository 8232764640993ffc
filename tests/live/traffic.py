"""Starts instances of random programs and sends their signals, on a thread of its own.

The producer is librdkafka's, whose partitioner is not Kafka's: most commands are on the
wrong partition. Some are produced twice; signals come before or after the start.
"""

from __future__ import annotations

import threading
from random import Random
from typing import TYPE_CHECKING

from tests import random_programs

if TYPE_CHECKING:
    from typing import Self

    from sayiir_es.core.graph.graph import Graph
    from tests.kafka.load import PlainProducer

TWICE = 0.1
LATE_AT_MOST_S = 3.0


class Traffic:
    """Starts instances at an uneven rate; a context manager."""

    def __init__(
        self,
        producer: PlainProducer,
        graphs: tuple[Graph, ...],
        seed: int,
        *,
        per_second: float,
    ) -> None:
        self._producer = producer
        self._graphs = graphs
        self._chance = Random(seed)  # noqa: S311 - no secret
        self._per_second = per_second
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._planned: list[tuple[float, str, str, dict[str, object]]] = []
        self.started: dict[str, Graph] = {}
        """Instance → its program."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Start no more; returns when everything is produced and acknowledged."""
        self._stop.set()
        self._thread.join()
        self._producer.flush()

    def _run(self) -> None:
        now_s = 0.0
        while not self._stop.is_set():
            pause_s = self._chance.expovariate(self._per_second)
            self._stop.wait(pause_s)
            now_s += pause_s
            self._produce_until(now_s)
            self._start(now_s)
        self._produce_until(now_s + LATE_AT_MOST_S)

    def _start(self, now_s: float) -> None:
        instance_id = f"i{len(self.started)}"
        graph = self._chance.choice(self._graphs)
        self.started[instance_id] = graph
        start: dict[str, object] = {
            "workflow": graph.name,
            "definition_hash": graph.definition_hash,
            "input": instance_id,
        }
        commands = [("StartWorkflow", start)]
        for number, name in enumerate(random_programs.signals_of(graph)):
            payload = random_programs.payload_of(name)
            signal: dict[str, object] = {"signal": name, "payload": payload}
            commands.append(("SendSignal", {**signal, "command_id": f"s{number}"}))
        for kind, fields in commands:
            for _ in range(1 + (self._chance.random() < TWICE)):
                due_s = now_s
                if self._chance.random() < 0.5:
                    due_s += self._chance.uniform(0, LATE_AT_MOST_S)
                self._planned.append((due_s, kind, instance_id, fields))
        self._produce_until(now_s)

    def _produce_until(self, now_s: float) -> None:
        due = [command for command in self._planned if command[0] <= now_s]
        self._planned = [command for command in self._planned if command[0] > now_s]
        for _, kind, instance_id, fields in sorted(due, key=lambda command: command[0]):
            self._producer.command(kind, instance_id, **fields)
