"""The load: it starts instances, and learns their ends from the events topic alone.

It is a closed loop: each of so many lanes keeps one instance in flight. An instance has
ended when its `WorkflowCompleted` is read; at the end of a load all steps of all its
instances must be on the topic.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from sayiir_es.core.partitions import partition_of
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.events import KIND_HEADER

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sayiir_es.core.authoring.flow import Workflow
    from sayiir_es.log.port import Log, Record

READ_WAIT_S = 1.0
END_LIMIT_S = 60.0
"""How many seconds instances in flight at the end may take before the run fails."""


class Load:
    """Keeps instances of one workflow in flight on one log."""

    def __init__(self, log: Log, workflow: Workflow, prefix: str) -> None:
        self.latencies: list[float] = []
        """Seconds from each start until its end was read, so far."""
        self._log = log
        self._steps = len(workflow.graph.places)
        self._value = (
            b'{"command":"StartWorkflow","workflow":"%s","input":"x"}'
            % workflow.graph.name.encode()
        )
        self._prefix = prefix
        self._started = 0
        self._counts: Counter[bytes] = Counter()
        self._waiting: dict[bytes, asyncio.Future[float]] = {}
        self._readers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for partition in range(self._log.partitions):
            end = await self._log.end_offset(Topic.EVENTS, partition)
            self._readers.append(asyncio.create_task(self._read(partition, end)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    @asynccontextmanager
    async def in_flight(self, count: int) -> AsyncGenerator[None]:
        """Keep so many in flight; after the block all have ended, with all events.

        Raises:
            RuntimeError: if an instance failed, or an event of one is missing.
            TimeoutError: if instances do not end.
        """
        stopping = asyncio.Event()

        async def lane() -> None:
            while not stopping.is_set():
                latency = await self._run_one()
                self.latencies.append(latency)

        lanes = [asyncio.create_task(lane()) for _ in range(count)]
        try:
            yield
            stopping.set()
            async with asyncio.timeout(END_LIMIT_S):
                await asyncio.gather(*lanes)
        finally:
            for task in lanes:
                task.cancel()
        expected_counts = {
            b"WorkflowStarted": self._started,
            b"TaskCompleted": self._started * self._steps,
            b"WorkflowCompleted": self._started,
        }
        counts = {kind: self._counts[kind] for kind in expected_counts}
        if counts != expected_counts:
            raise RuntimeError(f"expected the events {expected_counts}, but {counts}")

    async def _run_one(self) -> float:
        self._started += 1
        key = f"{self._prefix}-{self._started}".encode()
        ended = asyncio.get_running_loop().create_future()
        self._waiting[key] = ended
        began = time.perf_counter()
        await self._log.produce(
            Topic.COMMANDS,
            partition_of(key, self._log.partitions),
            NewRecord(key=key, value=self._value),
        )
        return await ended - began

    async def _read(self, partition: int, offset: int) -> None:
        reader = await self._log.reader(Topic.EVENTS, partition, offset)
        try:
            while True:
                chunk = await reader.read(max_wait_s=READ_WAIT_S)
                if chunk is None:
                    continue
                now = time.perf_counter()
                for record in chunk.records:
                    self._take(record, now)
        finally:
            await reader.close()

    def _take(self, record: Record, now: float) -> None:
        name, kind = record.headers[0]
        assert name == KIND_HEADER, record
        self._counts[kind] += 1
        if kind == b"WorkflowCompleted":
            self._waiting.pop(record.key or b"").set_result(now)
        elif kind == b"WorkflowFailed":
            failed = RuntimeError(f"expected no failed workflow, but {record.key!r}")
            self._waiting.pop(record.key or b"").set_exception(failed)
