"""How a client finds the reply to a command: the valid event that the command caused.

Theory of operation. A client notes the end of the partition's events, produces its
command, and reads from there. One reader a partition serves all commands of the client:
it applies the claim rule from the middle of the partition, by the `claim` header of the
first event that it reads and the headers between that claim and its own start.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sayiir_es.client.claims import find_claim_in_force
from sayiir_es.core.model.errors import BackendError
from sayiir_es.engine.fold import decode_record, read_event_headers
from sayiir_es.log.port import Topic

if TYPE_CHECKING:
    from sayiir_es.core.model.events import Event
    from sayiir_es.log.port import Log, Reader, Record

READ_WAIT_S = 1.0
COLLECTED_EVENTS_MAX = 10_000
"""Events of an instance kept for commands that the log has not acknowledged yet."""


class ReplyReader:
    """Reads one partition's valid events and gives each command its decision."""

    def __init__(self, log: Log, partition: int) -> None:
        self._log = log
        self._partition = partition
        self._claim: int | None = None
        self._start = 0
        self._expected: dict[str, int] = {}
        self._collected: dict[str, list[Event]] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    async def expect(self, instance_id: str) -> None:
        """From now on keep the replies to commands for this instance."""
        async with self._lock:
            if self._task is None or self._task.done():
                self._start = await self._log.end_offset(Topic.EVENTS, self._partition)
                self._claim = None
                reader = await self._log.reader(
                    Topic.EVENTS, self._partition, self._start
                )
                self._task = asyncio.create_task(self._read(reader))
                self._task.add_done_callback(_retrieve_exception)
            self._expected[instance_id] = self._expected.get(instance_id, 0) + 1

    def forget(self, instance_id: str) -> None:
        """One command for this instance has its reply, or its sender gave up."""
        others = self._expected.get(instance_id, 0) - 1
        if others > 0:
            self._expected[instance_id] = others
            return
        self._expected.pop(instance_id, None)
        self._collected.pop(instance_id, None)

    async def get_reply(self, instance_id: str, offset: int) -> Event:
        """The first event of the decision on the command at `offset`.

        Raises:
            BackendError: if the events cannot be read.
        """
        cause = f"command:{self._partition}@{offset}"
        while True:
            for event in self._collected.get(instance_id, ()):
                if event.cause.partition("<")[0] == cause:
                    return event
            if self._task is None or self._task.done():
                error = self._task.exception() if self._task is not None else None
                raise BackendError(
                    f"expected to read events partition {self._partition}, but {error}"
                ) from error
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self, reader: Reader) -> None:
        try:
            while True:
                chunk = await reader.read(max_wait_s=READ_WAIT_S)
                if chunk is None:
                    continue
                for record in chunk.records:
                    await self._take(record)
                self._changed.set()
        finally:
            self._changed.set()
            await reader.close()

    async def _take(self, record: Record) -> None:
        headers = read_event_headers(record, self._partition)
        if headers.kind == "PartitionClaimed":
            self._claim = record.offset
            return
        if self._claim is None:
            self._claim = await find_claim_in_force(
                self._log, self._partition, self._start, hint=headers.claim
            )
        if headers.claim != self._claim or record.key is None:
            return
        instance_id = record.key.decode("utf-8", "replace")
        if instance_id not in self._expected:
            return
        event = decode_record(record, headers, self._partition)
        if event.cause.startswith("command:"):
            events = self._collected.setdefault(instance_id, [])
            events.append(event)
            del events[:-COLLECTED_EVENTS_MAX]


def _retrieve_exception(task: asyncio.Task[None]) -> None:
    """Mark the error as seen: `get_reply` raises it, and asyncio need not log it."""
    if not task.cancelled():
        task.exception()
