"""Commands of one partition, in offset order, ready to be decided.

Theory of operation. Reading and decoding run ahead of the owner; deciding stays in
offset order. So do the two actions that come before their event, the redirects: a
command on the wrong partition is forwarded, one that nobody can read is dead-lettered.
Both may be repeated after a crash: a forward is recognised by its origin, a dead letter
by its key. A fork is handed over unread: the history of its source is read beside the
commands, once the log holds that the fork waits for it.

Forwards of one process arrive in offset order: one idempotent producer sends them, and
none is sent while an earlier one may have failed. The owner of the other partition
relies on that: it remembers only the highest origin offset that was answered, and takes
every lower one for answered too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sayiir_es.core.fast_frozen import fast_frozen
from sayiir_es.core.model.errors import (
    BatchTooLargeError,
    LogUnavailableError,
    OffsetGoneError,
)
from sayiir_es.core.model.events import CommandDeadLettered, CommandForwarded
from sayiir_es.core.model.position import CommandPosition
from sayiir_es.core.partitions import partition_of
from sayiir_es.engine.backoff import Backoff
from sayiir_es.engine.commands.origins import Origins
from sayiir_es.engine.commands.read_ahead import ReadAhead
from sayiir_es.log.port import EXPANDS_HEADER, NewRecord, Topic
from sayiir_es.telemetry import get_logger
from sayiir_es.wire.commands import (
    decode_command,
    encode_command_avro,
    write_origin,
)
from sayiir_es.wire.errors import UnreadableError
from sayiir_es.wire.reply_address import read_reply_address, reply_headers
from sayiir_es.wire.trace_context import (
    read_traceparent,
    trace_headers,
    traceparent_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sayiir_es.core.model.commands import Command
    from sayiir_es.log.port import Chunk, Log, Reader, Record
    from sayiir_es.wire.reply_address import ReplyAddress

logger = get_logger(__name__)

READ_WAIT_S = 1.0
"""How long one read waits, in seconds; a record ends it at once."""

REASON_BYTES_MAX = 1_000
"""The longest reason on a dead letter, in characters."""

CUT_LETTER_BYTES = 256 * 1024
"""How many bytes of a value are kept if all of it does not fit the dead-letter topic.
"""

Redirect = CommandForwarded | CommandDeadLettered


@fast_frozen
@dataclass(frozen=True, slots=True, kw_only=True)
class FedCommand:
    """A command to decide on, or the redirect of one that is not decided here.

    `payload` is how many bytes of it the events may hold: the size of its record's
    value. `origin_end` is the end of the partition that forwarded it, if one did.
    `reply_to` is who is told of the decision, if anybody is; `traceparent` the trace
    context in which the command came.
    """

    position: CommandPosition
    command: Command | None
    redirect: asyncio.Task[Redirect] | None
    payload: int
    origin_end: int = 0
    reply_to: ReplyAddress | None = None
    traceparent: str | None = None


class CommandFeed:
    """Reads, decodes and redirects commands.

    `wake` is called when there is something new to decide on. `prefetch` is called for
    each command before it is handed over.
    `origins` are the highest origin offsets that the log holds, by partition.
    """

    def __init__(
        self,
        log: Log,
        partition: int,
        offset: int,
        *,
        origins: Mapping[int, int],
        prefetch: Callable[[Command], Awaitable[None]],
        wake: Callable[[], None],
    ) -> None:
        self.items: deque[FedCommand] = deque()
        self.next_offset = offset
        """The next offset to read; every command below it is in `items`, or was."""
        self._log = log
        self._partition = partition
        self._prefetch = prefetch
        self._origins = Origins(log, partition, origins)
        self._wake = wake
        self._ahead = ReadAhead(partition)
        self._task: asyncio.Task[None] | None = None
        self._reader: Reader | None = None
        self._backoff = Backoff(f"commands {partition}")

    @property
    def queued_bytes(self) -> int:
        """How many bytes the commands hold that were read and not taken."""
        return self._ahead.size

    @property
    def next_undecided(self) -> int:
        """The offset of the next command to decide, read or not."""
        return self.items[0].position.offset if self.items else self.next_offset

    def start(self) -> None:
        """Begin to read."""
        self._task = asyncio.create_task(
            self._read(), name=f"commands-{self._partition}"
        )

    def check(self) -> None:
        """Raise the error that ended the reading, if one did.

        That of commands which are gone waits until those before them were decided.

        Raises:
            LogError: if the commands cannot be read any further.
        """
        task = self._task
        if task is None or not task.done():
            return
        is_gone = not task.cancelled() and isinstance(task.exception(), OffsetGoneError)
        if not (is_gone and self.items):
            task.result()

    def take(self) -> FedCommand:
        """Remove and return the next command, in offset order.

        Raises:
            IndexError: if there is none.
        """
        item = self.items.popleft()
        self._ahead.remove()
        return item

    async def close(self) -> None:
        """Stop reading and drop what was not decided.

        A redirect in flight is cancelled here, but may still reach the log.
        """
        redirects = [item.redirect for item in self.items if item.redirect is not None]
        self.items.clear()
        for redirect in redirects:
            redirect.cancel()
        await asyncio.gather(*redirects, return_exceptions=True)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        try:
            while True:
                chunk = await self._read_chunk()
                # All forwards of a chunk are handed to the producer together, so that
                # they fail together, and none of the next chunk is sent before all of
                # this one are acknowledged.
                await self._origins.look_up(chunk.records)
                items = [self._to_item(record) for record in chunk.records]
                for item in items:
                    if item.command is not None:
                        await self._prefetch_for(item.command)
                    self.items.append(item)
                    self._ahead.add(item.payload)
                self.next_offset = chunk.end
                self._wake()
                redirects = [
                    item.redirect for item in items if item.redirect is not None
                ]
                if not await _have_all_arrived(redirects):
                    return  # the owner sees the failed redirect, and claims again
                await self._ahead.wait_for_room()
        finally:
            self._wake()
            await self._close_reader()

    async def _read_chunk(self) -> Chunk:
        """The next chunk, however long the log or the schema registry is silent.

        Outcomes and timers are decided meanwhile.
        """
        while True:
            try:
                if self._reader is None:
                    self._reader = await self._log.reader(
                        Topic.COMMANDS, self._partition, self.next_offset
                    )
                chunk = await self._reader.read(max_wait_s=READ_WAIT_S)
            except LogUnavailableError as error:
                logger.warning(
                    "commands.read_failed",
                    partition=self._partition,
                    offset=self.next_offset,
                    error_code=error.code,
                    reason=str(error),
                )
                await self._close_reader()
                await self._backoff.pause()
                continue
            self._backoff.reset()
            if chunk is not None:
                return chunk

    async def _prefetch_for(self, command: Command) -> None:
        """Read what a command needs, however long the log is silent."""
        while True:
            try:
                await self._prefetch(command)
            except LogUnavailableError as error:
                logger.warning(
                    "commands.definition_read_failed",
                    partition=self._partition,
                    error_code=error.code,
                    reason=str(error),
                )
                await self._backoff.pause()
            else:
                return

    async def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    def _to_item(self, record: Record) -> FedCommand:
        position = CommandPosition(partition=self._partition, offset=record.offset)
        try:
            command = decode_command(
                key=record.key,
                value=record.value,
                partition=self._partition,
                offset=record.offset,
            )
        except UnreadableError as error:
            reason = _expansion_of(record) or f"{error.reason}: {error}"
            redirect = asyncio.create_task(self._dead_letter(record, position, reason))
            return self._redirect_item(position, redirect, self._reply_address(record))
        key = command.instance_id.encode()
        home_partition = (
            partition_of(key, self._log.partitions) if key else self._partition
        )
        if home_partition == self._partition:
            origin = self._origins.checked(record)
            if origin is not None:
                position = replace(position, origin=origin)
            return FedCommand(
                position=position,
                command=command,
                redirect=None,
                payload=len(record.value or b""),
                origin_end=0 if origin is None else self._origins.end(origin[0]),
                reply_to=self._reply_address(record),
                traceparent=traceparent_of(command, record.headers),
            )
        redirect = self._forward(record, command, position, home_partition)
        return self._redirect_item(position, redirect, None)

    def _reply_address(self, record: Record) -> ReplyAddress | None:
        if not record.headers:
            return None
        reply_partitions = self._log.request_topics.reply_partitions
        return read_reply_address(record.headers, reply_partitions)

    def _redirect_item(
        self,
        position: CommandPosition,
        redirect: asyncio.Task[Redirect],
        reply_to: ReplyAddress | None,
    ) -> FedCommand:
        redirect.add_done_callback(lambda _: self._wake())
        return FedCommand(
            position=position,
            command=None,
            redirect=redirect,
            payload=0,
            reply_to=reply_to,
        )

    def _forward(
        self,
        record: Record,
        command: Command,
        position: CommandPosition,
        home_partition: int,
    ) -> asyncio.Task[Redirect]:
        forwarded = NewRecord(
            key=command.instance_id.encode(),
            value=encode_command_avro(command),
            headers=(
                *write_origin((position.partition, position.offset)),
                *reply_headers(record.headers),
                *trace_headers(read_traceparent(record.headers)),
            ),
        )

        async def forward() -> Redirect:
            try:
                offset = await self._log.produce(
                    Topic.COMMANDS, home_partition, forwarded
                )
            except BatchTooLargeError as error:
                # It fitted its own partition, but not with the headers added here.
                return await self._dead_letter(record, position, f"too_large: {error}")
            return CommandForwarded(
                forwarded_instance_id=command.instance_id,
                to_partition=home_partition,
                to_offset=offset,
            )

        return asyncio.create_task(forward())

    async def _dead_letter(
        self, record: Record, position: CommandPosition, reason: str
    ) -> Redirect:
        """Write a record to the dead letters: all of it, or as much as fits."""
        position_text = f"{position.partition}@{position.offset}"
        text = reason[:REASON_BYTES_MAX]
        letter = NewRecord(
            key=position_text.encode(),
            value=record.value,
            headers=(
                ("reason", text.encode("utf-8", "replace")),
                ("position", position_text.encode()),
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
                Topic.DEAD_LETTERS, self._partition, _shorten(letter)
            )
        return CommandDeadLettered(
            reason=text, dead_letter=f"{self._partition}@{offset}"
        )


async def _have_all_arrived(redirects: list[asyncio.Task[Redirect]]) -> bool:
    """Wait for all redirects; return whether each was acknowledged."""
    if redirects:
        await asyncio.wait(redirects)
    return not any(
        redirect.cancelled() or redirect.exception() for redirect in redirects
    )


def _shorten(letter: NewRecord) -> NewRecord:
    """A letter that is too large, cut; a header says how large the value was."""
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


def _expansion_of(record: Record) -> str | None:
    """Why the log did not unpack a record; None where it did."""
    for name, value in record.headers:
        if name == EXPANDS_HEADER and record.value is None:
            return f"{name}: {value.decode('utf-8', 'replace')}"
    return None
