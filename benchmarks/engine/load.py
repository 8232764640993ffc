"""The load: starts instances, and learns their ends from the events topic alone."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Self

from sayiir_es.core.partitions import partition_of
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.events import KIND_HEADER

if TYPE_CHECKING:
    from sayiir_es.log.port import Log, Record

READ_WAIT_S = 1.0
ENDS = (b"WorkflowCompleted", b"WorkflowFailed")


class Load:
    """Keeps instances in flight on one log."""

    def __init__(self, log: Log, workflow: str, prefix: str) -> None:
        self._log = log
        self._value = (
            b'{"command":"StartWorkflow","workflow":"%s","input":"x"}'
            % workflow.encode()
        )
        self._prefix = prefix
        self._number = 0
        self._waiting: dict[bytes, asyncio.Future[float]] = {}
        self._readers: list[asyncio.Task[None]] = []
        self.failed = 0

    async def __aenter__(self) -> Self:
        for partition in range(self._log.partitions):
            end = await self._log.end_offset(Topic.EVENTS, partition)
            self._readers.append(asyncio.create_task(self._read(partition, end)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def one(self) -> float:
        """Run one instance; seconds from its start to the sight of its end."""
        self._number += 1
        key = f"{self._prefix}-{self._number}".encode()
        ended = asyncio.get_running_loop().create_future()
        self._waiting[key] = ended
        began = time.perf_counter()
        await self._log.produce(
            Topic.COMMANDS,
            partition_of(key, self._log.partitions),
            NewRecord(key=key, value=self._value),
        )
        return await ended - began

    async def many(self, in_flight: int, seconds: float) -> tuple[list[float], float]:
        """Keep so many in flight for so long; latencies of those that ended, and time.

        Only what ended within the time counts; the rest is waited for, uncounted.
        """
        latencies: list[float] = []
        began = time.perf_counter()
        end = began + seconds

        async def lane() -> None:
            while time.perf_counter() < end:
                latency = await self.one()
                if time.perf_counter() <= end:
                    latencies.append(latency)

        await asyncio.gather(*(lane() for _ in range(in_flight)))
        return latencies, seconds

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
        kind = record.headers[0][1] if record.headers else b""
        if kind not in ENDS or record.headers[0][0] != KIND_HEADER:
            return
        self.failed += kind == ENDS[1]
        ended = self._waiting.pop(record.key or b"", None)
        if ended is not None and not ended.done():
            ended.set_result(now)
