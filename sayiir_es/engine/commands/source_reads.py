"""Reads the sources of deferred forks, beside the commands of the partition.

Theory of operation. The position of the partition says which forks are deferred; each
is read in a task of its own, a few at a time, and handed to the owner as an input. What
was read is held until it is decided, and counts as a reading until then: so memory is
bounded by the readings at a time. Nothing here is remembered: a new owner finds the
deferred forks in its position, and reads their sources again, from the beginning.

A reading that takes too long ends its fork (`busy`): a partition that never answers, or
is too long to be read, would else keep the others from being read, for ever.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from sayiir_es.core.model.commands import ForkWorkflow
from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.core.model.inputs import SourceHistory
from sayiir_es.core.model.rows import get_header
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.backoff import Backoff
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sayiir_es.core.draft import DecisionContext
    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.model.position import DeferredCommand
    from sayiir_es.core.model.rows import Rows

logger = get_logger(__name__)

READS_MAX = 2
"""Sources of one partition that are read, or held, at a time: a megabyte at most."""


class StagedView(Protocol):
    """What a look at a source needs of the batch that is made."""

    @property
    def context(self) -> DecisionContext:
        """What its decisions depend on."""
        ...

    def view(self, instance_id: str, /) -> Rows:
        """The rows of an instance as staged so far."""
        ...


class SourceReads:
    """The sources that the deferred forks of one partition wait for.

    `read` reads one; `limit_s` is how long that may take, in seconds. `wake` is called
    when one is there.
    """

    def __init__(
        self,
        partition: int,
        partitions: int,
        *,
        read: Callable[[ForkWorkflow], Awaitable[SourceHistory]],
        limit_s: float,
        wake: Callable[[], None],
    ) -> None:
        self.ready: deque[tuple[DeferredCommand, SourceHistory]] = deque()
        """Read, and to be decided."""
        self._partition = partition
        self._partitions = partitions
        self._read_source = read
        self._limit_s = limit_s
        self._wake = wake
        self._followed: Mapping[int, DeferredCommand] = {}
        self._waiting: deque[DeferredCommand] = deque()
        self._running: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is deferred."""
        return not self._followed

    def last_sequence(self, command: Command, staged: StagedView) -> int | None:
        """The last sequence of a fork's source, if it would be on this partition."""
        if not isinstance(command, ForkWorkflow):
            return None
        key = command.source_instance_id.encode()
        is_here = bool(key) and partition_of(key, self._partitions) == self._partition
        if not is_here or len(key) > staged.context.limits.id_bytes:
            return None
        header = get_header(staged.view(command.source_instance_id))
        return 0 if header is None else header.sequence

    def follow(self, deferred: Mapping[int, DeferredCommand]) -> None:
        """Read what is deferred now and was not before; the log holds that it is."""
        if deferred is self._followed:
            return
        self._waiting.extend(
            command
            for offset, command in deferred.items()
            if offset not in self._followed
        )
        self._followed = deferred
        self._begin()

    def take(self) -> tuple[DeferredCommand, SourceHistory]:
        """Remove and return the first that is ready.

        Raises:
            IndexError: if there is none.
        """
        taken = self.ready.popleft()
        self._begin()
        return taken

    async def close(self) -> None:
        """Stop reading and drop what was not decided."""
        self._waiting.clear()
        self.ready.clear()
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _begin(self) -> None:
        while self._waiting and len(self._running) + len(self.ready) < READS_MAX:
            deferred = self._waiting.popleft()
            task = asyncio.create_task(
                self._read(deferred),
                name=f"source-{self._partition}-{deferred.position.offset}",
            )
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._wake()

    async def _read(self, deferred: DeferredCommand) -> None:
        """Read one source; whatever goes wrong is its fork's trouble."""
        try:
            async with asyncio.timeout(self._limit_s):
                history = await self._read_on(deferred.command)
        except TimeoutError:
            logger.warning(
                "commands.source_read_expired",
                partition=self._partition,
                offset=deferred.position.offset,
            )
            history = SourceHistory(
                unreadable=f"it was not read within {self._limit_s:g} s; send the fork "
                "again, or raise SAYIIR_FORK_READ_LIMIT",
                rejection="busy",
            )
        except Exception as error:  # nobody foresaw it; no reason to stop a partition
            logger.exception(
                "commands.source_read_raised",
                partition=self._partition,
                offset=deferred.position.offset,
            )
            history = SourceHistory(
                unreadable=f"reading it raised {type(error).__name__}: {error}",
                rejection="internal",
            )
        self.ready.append((deferred, history))

    async def _read_on(self, fork: ForkWorkflow) -> SourceHistory:
        """Read it, however often the definitions that it needs cannot be read."""
        backoff = Backoff(f"source {fork.source_instance_id}")
        while True:
            try:
                return await self._read_source(fork)
            except LogUnavailableError:
                await backoff.pause()
