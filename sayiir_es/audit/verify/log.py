"""Verify a log through its port, one partition after the other, to its present end.

Theory of operation. The ends of the events are asked for first and the definitions are
read after that: whatever an event names was published before it. Commands are read in
step with the answers, so that memory holds what is live and one chunk of each topic.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Protocol

from sayiir_es.audit.verify.checker import Checker
from sayiir_es.core.partitions import partition_of
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sayiir_es.audit.violation import Violation
    from sayiir_es.log.port import Chunk, Log, Reader
    from sayiir_es.wire.signing import PublicKeys

READ_WAIT_S = 1.0


class Progress(Protocol):
    """Called with how far a verification is."""

    def __call__(self, done: int, total: int, /) -> None:
        """`done` of `total` records are checked."""
        ...


def silent(_done: int, _total: int, /) -> None:
    """Report no progress."""


class LogVerification:
    """One pass over an open log; `events` counts the valid events so far."""

    def __init__(
        self,
        log: Log,
        *,
        instance_id: str | None = None,
        keys: PublicKeys | None = None,
        progress: Progress = silent,
    ) -> None:
        self._log = log
        self._instance_id = instance_id
        self._progress = progress
        self._done = self._total = 0
        self.checker = Checker(
            partitions=log.partitions, instance_id=instance_id, keys=keys
        )

    @property
    def events(self) -> int:
        """How many valid events were checked so far."""
        return self.checker.events

    async def violations(self) -> AsyncIterator[Violation]:
        """Yield every violation, in the order of partitions."""
        partitions = range(self._log.partitions)
        if self._instance_id is not None:
            home = partition_of(self._instance_id.encode(), self._log.partitions)
            partitions = range(home, home + 1)
        ends = {p: await self._log.end_offset(Topic.EVENTS, p) for p in partitions}
        self._total = sum(ends.values())
        await self._read_definitions()
        for partition in partitions:
            async for violation in self._partition(partition, ends[partition]):
                yield violation
        for violation in self.checker.finish():
            yield violation

    async def _read_definitions(self) -> None:
        end = await self._log.end_offset(Topic.DEFINITIONS, 0)
        start = await self._log.start_offset(Topic.DEFINITIONS, 0)
        async for chunk in read_to(self._log, Topic.DEFINITIONS, 0, start, end):
            for record in chunk.records:
                self.checker.take_definition(record.value)

    async def _partition(self, partition: int, end: int) -> AsyncIterator[Violation]:
        log = self._log
        start = await log.start_offset(Topic.EVENTS, partition)
        async with AsyncExitStack() as stack:
            commands: _Commands | None = None
            if self._instance_id is None:
                commands = await _Commands.opened(log, partition, self.checker)
                stack.push_async_callback(commands.close)
            async for chunk in read_to(log, Topic.EVENTS, partition, start, end):
                for violation in self._chunk(partition, chunk, end):
                    yield violation
                if commands is not None:
                    async for violation in commands.follow():
                        yield violation

    def _chunk(self, partition: int, chunk: Chunk, end: int) -> list[Violation]:
        violations: list[Violation] = []
        gaps = list(chunk.gaps)
        for record in chunk.records:
            if record.offset >= end:
                break
            while gaps and gaps[0][0] < record.offset:
                self.checker.take_gap(partition, *gaps.pop(0))
            violations += self.checker.take(partition, record)
        for gap in gaps:
            self.checker.take_gap(partition, *gap)
        self._done += min(chunk.end, end) - chunk.start
        self._progress(self._done, self._total)
        return violations


class _Commands:
    """The commands of one partition, read as far as they are answered."""

    def __init__(self, partition: int, checker: Checker, reader: Reader) -> None:
        self._partition = partition
        self._checker = checker
        self._reader = reader
        self._start = self._next = self._end = 0

    @classmethod
    async def opened(cls, log: Log, partition: int, checker: Checker) -> _Commands:
        start = await log.start_offset(Topic.COMMANDS, partition)
        reader = await log.reader(Topic.COMMANDS, partition, start)
        commands = cls(partition, checker, reader)
        commands._start = commands._next = start
        commands._end = await log.end_offset(Topic.COMMANDS, partition)
        return commands

    async def follow(self) -> AsyncIterator[Violation]:
        """Read on as far as there are answers, but not beyond the end."""
        commands_end = self._checker.commands_wanted(self._partition)
        while self._next < min(commands_end, self._end):
            chunk = await self._reader.read(max_wait_s=READ_WAIT_S)
            if chunk is None:
                continue
            self._next = chunk.end
            for violation in self._checker.take_commands(
                self._partition,
                [record.offset for record in chunk.records],
                past=chunk.end,
                start=self._start,
            ):
                yield violation

    async def close(self) -> None:
        await self._reader.close()


async def read_to(
    log: Log, topic: Topic, partition: int, start: int, end: int
) -> AsyncIterator[Chunk]:
    """The chunks of a partition from `start` until `end` is reached."""
    reader = await log.reader(topic, partition, start)
    try:
        place = start
        while place < end:
            chunk = await reader.read(max_wait_s=READ_WAIT_S)
            if chunk is not None:
                place = chunk.end
                yield chunk
    finally:
        await reader.close()
