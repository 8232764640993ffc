"""An executor that is nothing but the protocol: it offers, holds, tells, and answers.

It runs no code: a test says what becomes of each attempt that it was handed.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from sayiir_es.core.model.commands import RecordOutcome
from sayiir_es.core.partitions import partition_of
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.testing.virtual_time import VirtualClock, VirtualLoop
from sayiir_es.wire.attempts import (
    AttemptCancelled,
    PublishedAttempt,
    decode_attempt,
)
from sayiir_es.wire.commands import encode_command_avro
from sayiir_es.wire.executor_requests import HeldAttempt, OfferSlots, Progress
from sayiir_es.wire.requests import encode_request
from tests.engine.harness import EngineHarness

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from sayiir_es.wire.attempts import AttemptRecord
    from sayiir_es.wire.executor_requests import ExecutorRequest

    R = TypeVar("R", bound=AttemptRecord)

LIMIT_S = 10.0


def virtual_harness(**settings: Any) -> EngineHarness:
    """A harness in the virtual time of the running test."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    clock = VirtualClock(loop)
    return EngineHarness(log=MemoryLog(now_ms=clock.now_ms), clock=clock, **settings)


@dataclass
class Speaker:
    """An executor elsewhere, as far as owners can see."""

    log: MemoryLog
    name: str = "e1"
    tasks: tuple[str, ...] = ()
    graphs: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    records: list[AttemptRecord] = field(default_factory=list["AttemptRecord"])
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _commands: itertools.count[int] = field(default_factory=itertools.count)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[Speaker]:
        """It reads its attempts meanwhile."""
        topics = self.log.request_topics
        await topics.open(create=True)
        partition = partition_of(self.name.encode(), self.log.partitions)
        subscription = await topics.subscribe(Topic.ATTEMPTS, partition)

        async def read() -> None:
            while True:
                for record in await subscription.read():
                    if record.key == self.name.encode():
                        self.records.append(decode_attempt(record.value or b""))
                        self._came.set()

        reading = asyncio.create_task(read())
        try:
            yield self
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await subscription.close()

    def offer(
        self,
        free: int = 1,
        *,
        ttl_ms: int = 30_000,
        slots: int = 4,
        stopping: bool = False,
        overflow: int | None = None,
    ) -> None:
        """Take so many attempts from the owner of partition 0.

        With `overflow` it is a worker.
        """
        self._send(
            OfferSlots(
                executor=self.name,
                free=free,
                slots=slots,
                tags=self.tags,
                graphs=self.graphs,
                tasks=self.tasks,
                ttl_ms=ttl_ms,
                stopping=stopping,
                only_foreign=overflow is not None,
                overflow=overflow or 0,
            )
        )

    def progress(
        self, *attempts: PublishedAttempt, details: bytes | None = None
    ) -> None:
        """It has these."""
        held = tuple(
            HeldAttempt(
                instance_id=one.instance_id,
                run=one.run,
                path=one.path,
                attempt=one.attempt,
                secret=one.secret.hex(),
                details=details,
            )
            for one in attempts
        )
        self._send(Progress(executor=self.name, attempts=held))

    async def attempt(self, number: int = 1) -> PublishedAttempt:
        """Wait for the attempt that is handed out as the `number`th."""
        return await self._nth(PublishedAttempt, number)

    async def notice(self, number: int = 1) -> AttemptCancelled:
        """Wait for the notice that comes as the `number`th."""
        return await self._nth(AttemptCancelled, number)

    def handed_out(self) -> list[PublishedAttempt]:
        """All that it was handed so far."""
        return [one for one in self.records if isinstance(one, PublishedAttempt)]

    async def tell(
        self,
        attempt: PublishedAttempt,
        output: bytes | None = b'"done"',
        *,
        secret: bytes | None = None,
        error: str | None = None,
        loop: Literal["none", "again", "done"] = "none",
    ) -> None:
        """Record an outcome: completed, failed with an error, or without both back."""
        result: Literal["completed", "failed", "withdrawn"]
        result = "completed" if output is not None else "withdrawn"
        if error is not None:
            result = "failed"
        command = RecordOutcome(
            instance_id=attempt.instance_id,
            command_id=f"{self.name}:{next(self._commands)}",
            run=attempt.run,
            path=attempt.path,
            attempt=attempt.attempt,
            result=result,
            output=None if error is not None else output,
            loop=loop,
            error_type=None if error is None else "RuntimeError",
            error=error,
            worker=self.name,
            secret=attempt.secret if secret is None else secret,
        )
        record = NewRecord(
            key=attempt.instance_id.encode(), value=encode_command_avro(command)
        )
        await self.log.produce(Topic.COMMANDS, attempt.partition, record)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for records until a condition holds."""
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                self._came.clear()
                await self._came.wait()

    async def _nth(self, kind: type[R], number: int) -> R:
        def found() -> list[R]:
            return [one for one in self.records if isinstance(one, kind)]

        await self.until(lambda: len(found()) >= number)
        return found()[number - 1]

    def _send(self, request: ExecutorRequest) -> None:
        record = NewRecord(key=None, value=encode_request(request))
        if not self.log.request_topics.post(Topic.REQUESTS, 0, record):
            # No owner hears yet. A real executor says it again later, too.
            loop = asyncio.get_running_loop()
            loop.call_later(0.02, self._send, request)
