"""Parents and children over several partitions: a log that stops, and workers."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Self

from sayiir_es.audit.verify.log import LogVerification
from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.attempts.local_executor import LocalExecutor
from sayiir_es.engine.clock import SystemClock
from sayiir_es.engine.definitions.registry import Registry
from sayiir_es.engine.fold import Fold
from sayiir_es.engine.ports import Ports
from sayiir_es.engine.store.memory import MemoryStore
from sayiir_es.engine.worker import WorkerEngine
from sayiir_es.engine.worker_settings import WorkerSettings
from sayiir_es.log.memory.log import MemoryLog
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.log.solo import SoloMembership
from tests.engine.harness import LIMIT_S, copy_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sayiir_es.core.authoring.flow import Workflow
    from sayiir_es.core.model.events import Event
    from sayiir_es.core.model.rows import Rows
    from sayiir_es.engine.clock import Clock
    from sayiir_es.engine.store.port import SnapshotStore
    from sayiir_es.log.memory.log import MemoryAppender
    from sayiir_es.log.port import Record

PARTITIONS = 3


class StoppingLog(MemoryLog):
    """A memory log that answers no write any more behind some number of them.

    With `lands` the last one is written, and not answered.
    """

    def __init__(self, partitions: int = PARTITIONS) -> None:
        super().__init__(partitions)
        self.writes = 0
        self.stops_behind: int | None = None
        self.lands = False
        self.has_stopped = False

    def check(self) -> bool:
        """Count a write; whether it is the one that lands without an answer.

        Raises:
            LogUnavailableError: if it is not to be written.
        """
        self.writes += 1
        last = self.stops_behind
        if last is None or self.writes <= last:
            return False
        if self.lands and self.writes == last + 1:
            self.has_stopped = True
            return True
        self.has_stopped = True
        raise LogUnavailableError("expected an answer, but the log has stopped")

    async def produce(self, topic: Topic, partition: int, record: NewRecord) -> int:
        """As the log's own, while it answers."""
        is_last = topic is Topic.COMMANDS and self.check()
        offset = await super().produce(topic, partition, record)
        if is_last:
            raise LogUnavailableError("expected an answer, but the log has stopped")
        return offset

    async def appender(self, partition: int) -> MemoryAppender:
        """An appender whose batches count as writes."""
        appender = await super().appender(partition)
        append = appender.append

        async def counted(batch: Sequence[NewRecord]) -> int:
            is_last = self.check()
            base = await append(batch)
            if is_last:
                raise LogUnavailableError("expected an answer, but the log has stopped")
            return base

        setattr(appender, "append", counted)  # noqa: B010 (a method)
        return appender

    async def copy(self) -> StoppingLog:
        """Another log with the same records."""
        other = StoppingLog(self.partitions)
        await other.open(create=True)
        for partition in range(self.partitions):
            appender = await MemoryLog.appender(other, partition)
            for record in await records_of(self, Topic.EVENTS, partition):
                await appender.append([copy_of(record)])
            for topic in (Topic.COMMANDS, Topic.DEFINITIONS):
                if topic is Topic.DEFINITIONS and partition:
                    continue
                for record in await records_of(self, topic, partition):
                    await MemoryLog.produce(other, topic, partition, copy_of(record))
        return other


async def records_of(log: MemoryLog, topic: Topic, partition: int) -> list[Record]:
    """Every record of a partition."""
    end = await log.end_offset(topic, partition)
    reader = await log.reader(topic, partition, 0)
    records: list[Record] = []
    while len(records) < end:
        chunk = await reader.read(max_wait_s=1)
        assert chunk is not None
        records += chunk.records
    return records


class Family:
    """Workers on one log, one after another; what is read is of all partitions."""

    def __init__(
        self,
        *workflows: Workflow,
        log: StoppingLog | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.workflows = workflows
        self.log = log or StoppingLog()
        self.clock = clock or SystemClock()
        self.engine: WorkerEngine | None = None
        self.stores: dict[int, MemoryStore] = {}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start a worker that knows nothing, and wait until it serves."""
        self.stores = {n: MemoryStore() for n in range(self.log.partitions)}

        async def open_store(partition: int) -> SnapshotStore:
            return self.stores[partition]

        self.engine = WorkerEngine(
            ports=Ports(
                log=self.log,
                clock=self.clock,
                executor=LocalExecutor(8, worker_id="w"),
                registry=Registry(),
            ),
            membership=SoloMembership(
                self.log.owner_lock(), partitions=self.log.partitions
            ),
            open_store=open_store,
            settings=WorkerSettings(
                worker_id="w", incarnation="w", build="test", cancel_grace_s=0.05
            ),
        )
        await self.log.open(create=True)
        await self.engine.start(self.workflows)
        async with asyncio.timeout(LIMIT_S):
            await self.engine.wait_until_settled()

    async def stop(self) -> None:
        """Let the worker go, with what it runs."""
        engine, self.engine = self.engine, None
        if engine is not None:
            await engine.stop(drain=False)

    async def command(self, name: str, instance_id: str = "i", **fields: Any) -> None:
        """Produce a command as JSON, from a client of its own."""
        body = {"command": name, "instance_id": instance_id, **fields}
        key = instance_id.encode()
        record = NewRecord(key=key, value=json.dumps(body).encode())
        home = partition_of(key, self.log.partitions)
        await MemoryLog.produce(self.log, Topic.COMMANDS, home, record)

    def rows(self, instance_id: str) -> Rows:
        """The live rows of an instance."""
        home = partition_of(instance_id.encode(), self.log.partitions)
        return self.stores[home].rows(instance_id)

    def owes_messages(self) -> bool:
        """Whether anything is to be sent to another instance."""
        return any(list(store.messages()) for store in self.stores.values())

    async def events(self, instance_id: str | None = None) -> list[Any]:
        """The valid events of an instance, or of all."""
        events: list[Any] = []

        def take(_offset: int, event: Event) -> None:
            if instance_id is None or event.instance_id == instance_id:
                events.append(event)

        for partition in range(self.log.partitions):
            fold = Fold(MemoryStore(), partition, self.log.partitions, on_event=take)
            end = await self.log.end_offset(Topic.EVENTS, partition)
            reader = await self.log.reader(Topic.EVENTS, partition, 0)
            next_offset = 0
            while next_offset < end:
                chunk = await reader.read(max_wait_s=1)
                assert chunk is not None
                fold.apply(chunk)
                next_offset = chunk.end
        return events

    async def kinds(self, instance_id: str | None = None) -> list[str]:
        """The kinds of these events."""
        return [event.kind for event in await self.events(instance_id)]

    async def until(
        self, condition: Callable[[list[str]], bool], instance_id: str = "i"
    ) -> list[Any]:
        """Wait until the kinds of an instance's events satisfy a condition."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                events = await self.events(instance_id)
                if condition([event.kind for event in events]):
                    return events
                await asyncio.sleep(0.002)

    async def until_kind(self, kind: str, instance_id: str = "i") -> list[Any]:
        """Wait for an event of a kind."""
        return await self.until(lambda kinds: kind in kinds, instance_id)

    async def until_stopped(self) -> None:
        """Wait until the log has stopped, or everything has ended."""
        await wait_until(lambda: self.log.has_stopped or self._is_over(), 0)

    def _is_over(self) -> bool:
        owners = () if self.engine is None else self.engine.owners.values()
        return all(owner.idle for owner in owners)

    async def verify(self) -> None:
        """Check that the log holds to every rule of `audit verify`."""
        verification = LogVerification(self.log)
        violations = [violation async for violation in verification.violations()]
        assert not violations, violations[0]


async def wait_until(
    condition: Callable[[], bool], every_s: float = 0.02, limit_s: float = LIMIT_S
) -> None:
    """Wait until a condition holds, looking every so many seconds."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 (no event says so)
            await asyncio.sleep(every_s)
