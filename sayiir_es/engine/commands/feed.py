"""Commands of one partition, in offset order, ready to be decided.

Theory of operation. Reading, decoding and the two acts that come before their event
(forwarding a command that stands on the wrong partition, dead-lettering one that nobody
can read) run ahead of the owner; deciding stays in offset order. Both acts may be
repeated after a crash: a forward is recognised by its origin, a dead letter by its key.
Forwards of one process land in offset order: one idempotent producer sends them, and
none goes out while an earlier one may have failed. So the highest origin offset that
was answered tells whether an earlier one was; a hole would be taken for answered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sayiir_es.core.model.commands import ForkWorkflow
from sayiir_es.core.model.errors import BatchTooLargeError
from sayiir_es.core.model.events import CommandDeadLettered, CommandForwarded
from sayiir_es.core.model.position import CommandPosition
from sayiir_es.core.partitions import partition_of
from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.commands import (
    decode_command,
    encode_command_avro,
    read_origin,
    write_origin,
)
from sayiir_es.wire.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sayiir_es.core.model.commands import Command
    from sayiir_es.core.model.inputs import SourceHistory
    from sayiir_es.log.port import Log, Reader, Record

ITEMS_MAX = 5_000
"""Commands held in memory per partition; the log keeps the rest."""

READ_WAIT_S = 1.0
"""How long one read waits; a record ends it at once."""

REASON_BYTES_MAX = 1_000
"""Longest reason on a dead letter."""

CUT_LETTER_BYTES = 256 * 1024
"""How much of a record is kept where the whole does not fit the dead-letter topic."""

Redirect = CommandForwarded | CommandDeadLettered


@dataclass(frozen=True, slots=True, kw_only=True)
class FedCommand:
    """A command to decide on, or the act that answers one that is not ours.

    `payload` is how much of it the events may hold, in bytes: the size of its record's
    value, and that of the history that comes with a fork.
    """

    position: CommandPosition
    command: Command | None
    redirect: asyncio.Task[Redirect] | None
    payload: int
    source: SourceHistory | None = None


class CommandFeed:
    """Reads, decodes and redirects; `wake` is called when something new is there."""

    def __init__(
        self,
        log: Log,
        partition: int,
        offset: int,
        *,
        prepare: Callable[[Command], Awaitable[SourceHistory | None]],
        wake: Callable[[], None],
    ) -> None:
        self.items: deque[FedCommand] = deque()
        self.passed = offset
        """The next offset to read: what is below it is in `items` or was."""
        self._log = log
        self._partition = partition
        self._prepare = prepare
        self._wake = wake
        self._room = asyncio.Event()
        self._copied = asyncio.Event()
        self._copied.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to read."""
        self._task = asyncio.create_task(
            self._read(), name=f"commands-{self._partition}"
        )

    def failure(self) -> BaseException | None:
        """Why reading ended, if it did."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()

    def take(self) -> FedCommand:
        """The next command in offset order."""
        item = self.items.popleft()
        if len(self.items) < ITEMS_MAX // 2:
            self._room.set()
        if item.source is not None:
            self._copied.set()
        return item

    async def close(self) -> None:
        """Stop reading and drop what was not decided; redirects in flight may land."""
        redirects = [item.redirect for item in self.items if item.redirect is not None]
        self.items.clear()
        for redirect in redirects:
            redirect.cancel()
        await asyncio.gather(*redirects, return_exceptions=True)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        reader: Reader = await self._log.reader(
            Topic.COMMANDS, self._partition, self.passed
        )
        try:
            while True:
                chunk = await reader.read(max_wait_s=READ_WAIT_S)
                if chunk is None:
                    continue
                # Handed to the log in one go: what fails, fails together, and nothing
                # of the next chunk goes before all of this one has arrived.
                fed = [self._fed(record) for record in chunk.records]
                for item in fed:
                    self.items.append(await self._prepared(item))
                self.passed = chunk.end
                self._wake()
                redirects = [item.redirect for item in fed if item.redirect is not None]
                if not await _all_arrived(redirects):
                    return  # the owner meets the failure, and claims again
                if len(self.items) >= ITEMS_MAX:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._wake()
            await reader.close()

    async def _prepared(self, item: FedCommand) -> FedCommand:
        """The command with what it needs; one history is held at a time."""
        if item.command is None:
            return item
        if isinstance(item.command, ForkWorkflow):
            self._wake()  # what stands before it is decided meanwhile
            await self._copied.wait()
        source = await self._prepare(item.command)
        if source is None:
            return item
        self._copied.clear()
        return replace(item, source=source, payload=item.payload + source.size)

    def _fed(self, record: Record) -> FedCommand:
        origin = read_origin(record.headers)
        position = CommandPosition(
            partition=self._partition, offset=record.offset, origin=origin
        )
        try:
            command = decode_command(
                key=record.key,
                value=record.value,
                partition=self._partition,
                offset=record.offset,
                headers=record.headers,
            )
        except UnreadableError as error:
            reason = f"{error.reason}: {error}"
            buried = asyncio.create_task(self._bury(record, position, reason))
            return self._redirected(position, buried)
        key = command.instance_id.encode()
        home = partition_of(key, self._log.partitions) if key else self._partition
        if home == self._partition:
            return FedCommand(
                position=position,
                command=command,
                redirect=None,
                payload=len(record.value or b""),
            )
        act = self._forward(record, command, position, home)
        return self._redirected(position, act)

    def _redirected(
        self, position: CommandPosition, act: asyncio.Task[Redirect]
    ) -> FedCommand:
        act.add_done_callback(lambda _: self._wake())
        return FedCommand(position=position, command=None, redirect=act, payload=0)

    def _forward(
        self, record: Record, command: Command, position: CommandPosition, home: int
    ) -> asyncio.Task[Redirect]:
        origin = position.origin or (position.partition, position.offset)
        forwarded = NewRecord(
            key=command.instance_id.encode(),
            value=encode_command_avro(command),
            headers=write_origin(origin),
        )

        async def forward() -> Redirect:
            try:
                offset = await self._log.produce(Topic.COMMANDS, home, forwarded)
            except BatchTooLargeError as error:
                # It fitted where it stands, but not with what is added on the way.
                return await self._bury(record, position, f"too_large: {error}")
            return CommandForwarded(
                forwarded_instance_id=command.instance_id,
                to_partition=home,
                to_offset=offset,
            )

        return asyncio.create_task(forward())

    async def _bury(
        self, record: Record, position: CommandPosition, reason: str
    ) -> Redirect:
        """Write a record to the dead letters: whole, or what fits of it."""
        where = f"{position.partition}@{position.offset}"
        text = reason[:REASON_BYTES_MAX]
        letter = NewRecord(
            key=where.encode(),
            value=record.value,
            headers=(
                ("reason", text.encode("utf-8", "replace")),
                ("position", where.encode()),
                ("record-key", record.key or b""),
                *record.headers,
            ),
        )
        try:
            offset = await self._log.produce(
                Topic.DEAD_LETTERS, self._partition, letter
            )
        except BatchTooLargeError:
            offset = await self._log.produce(
                Topic.DEAD_LETTERS, self._partition, _cut(letter)
            )
        return CommandDeadLettered(
            reason=text, dead_letter=f"{self._partition}@{offset}"
        )


async def _all_arrived(redirects: list[asyncio.Task[Redirect]]) -> bool:
    """Whether every redirect was acknowledged; waits for all."""
    if redirects:
        await asyncio.wait(redirects)
    return not any(act.cancelled() or act.exception() for act in redirects)


def _cut(letter: NewRecord) -> NewRecord:
    """What is left of a letter that is too large; a header tells the value's size."""
    size = len(letter.value or b"")
    reason, position, (name, key), *_ = letter.headers
    return NewRecord(
        key=letter.key,
        value=(letter.value or b"")[:CUT_LETTER_BYTES],
        headers=(
            reason,
            position,
            (name, key[:REASON_BYTES_MAX]),
            ("cut-from-bytes", str(size).encode()),
        ),
    )
