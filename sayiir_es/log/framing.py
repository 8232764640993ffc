"""A log that adds what other tools ask for: Confluent's frame, CloudEvents' headers.

Theory of operation. The code above the log does not notice: there, events and commands
have Avro's single-object encoding and the headers of the contract. When a record is
written, its head is replaced by Confluent's frame, and headers are added. When it is
read, the frame is replaced by the head again; added headers are ignored, as unknown
headers always are. Both forms are read, so that the setting may change while history
stays.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sayiir_es.core.model.errors import SettingsError
from sayiir_es.log.port import CheckedLog, NewRecord, Topic, destination_of
from sayiir_es.wire.cloud_events import cloud_event_headers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.log.port import (
        Appender,
        Chunk,
        Log,
        LogIdentity,
        Reader,
        Record,
        RequestTopics,
    )
    from sayiir_es.wire.confluent_frames import ConfluentFrames

HEADERS_BYTES = 1_500_000
"""What CloudEvents' headers add to the largest batch, in bytes: 2,000 records with ids
of a usual length, or fewer with long ids, which count in keys and values already."""

BATCH_BYTES_LEAST = 900_000
"""What must be left for the events, in bytes: the largest payload and its decision."""

FRAME_HEADER = "schema-id"
"""On a command that came in a frame: its schema id, for the dead letters."""

_FRAMED = (Topic.EVENTS, Topic.COMMANDS, Topic.SNAPSHOTS)


class FramedLog:
    """Adds a frame and headers to the records of another log; see `log.port.Log`.

    `frames` is None where no schema registry is configured. `source` is the CloudEvents
    source without the partition, None where CloudEvents' headers are not configured.
    """

    def __init__(
        self, inner: Log, frames: ConfluentFrames | None, source: str | None
    ) -> None:
        self.inner = inner
        self._checked_inner = inner if isinstance(inner, CheckedLog) else None
        self._frames = frames
        self._source = source

    @property
    def partitions(self) -> int:
        """How many partitions `commands` and `events` have."""
        return self.inner.partitions

    @property
    def max_batch_bytes(self) -> int:
        """The largest batch that `append` takes, in bytes, before anything is added."""
        inner_limit = self.inner.max_batch_bytes
        return inner_limit if self._source is None else inner_limit - HEADERS_BYTES

    @property
    def request_topics(self) -> RequestTopics:
        """The topics of requests and replies; nothing is added to these."""
        return self.inner.request_topics

    @property
    def system(self) -> str:
        """What conventions call this kind of log."""
        return destination_of(self.inner, Topic.EVENTS).system

    @property
    def group(self) -> str:
        """The consumer group of the app's workers."""
        return destination_of(self.inner, Topic.EVENTS).group

    def name(self, topic: Topic) -> str:
        """The name of one of the app's topics."""
        return destination_of(self.inner, topic).name

    async def open(self, *, create: bool) -> LogIdentity:
        """Open the log, and get the ids of the schemas from the registry.

        Raises:
            SettingsError: if a batch with CloudEvents' headers would not fit, or the
                registry refuses a schema.
            LogUnavailableError: if the registry or the log does not answer.
        """
        identity = await self.inner.open(create=create)
        try:
            self._check_room()
            if self._frames is not None:
                await self._frames.open()
        except BaseException:
            await self.inner.close()
            raise
        return identity

    def _check_room(self) -> None:
        if self.max_batch_bytes < BATCH_BYTES_LEAST:
            raise SettingsError(
                "expected room for CloudEvents' headers in a batch of events, but "
                f"{self.inner.max_batch_bytes} bytes: set max.message.bytes of the "
                "events topic to at least 3145728"
            )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is to be said of the log's settings, as of `open`."""
        return () if self._checked_inner is None else self._checked_inner.warnings

    def check_writable(self) -> None:
        """Refuse to begin anything new here.

        Raises:
            UnsafeLogError: history could be lost; says what to set.
        """
        if self._checked_inner is not None:
            self._checked_inner.check_writable()

    async def open_snapshots(self) -> None:
        """Make the snapshots topic where there is none, and check it."""
        await self.inner.open_snapshots()

    async def close(self) -> None:
        """Close connections and files."""
        await self.inner.close()

    async def appender(self, partition: int) -> Appender:
        """A fresh appender for one partition of `events`."""
        appender = await self.inner.appender(partition)
        source = self._source and f"{self._source}/{partition}".encode()
        return _FramingAppender(appender, self._frames, source or None)

    async def reader(self, topic: Topic, partition: int, offset: int) -> Reader:
        """A reader that begins at `offset`."""
        reader = await self.inner.reader(topic, partition, offset)
        if self._frames is None or topic not in _FRAMED:
            return reader
        return _UnframingReader(
            reader, self._frames, with_schema_id=topic is Topic.COMMANDS
        )

    async def start_offset(self, topic: Topic, partition: int) -> int:
        """The first kept offset."""
        return await self.inner.start_offset(topic, partition)

    async def end_offset(self, topic: Topic, partition: int) -> int:
        """One above the last record that a reader is given."""
        return await self.inner.end_offset(topic, partition)

    async def produce(self, topic: Topic, partition: int, record: NewRecord) -> int:
        """Write one record outside the claim rule and return its offset.

        Raises:
            LogUnavailableError, BatchTooLargeError: as the log itself.
        """
        if self._frames is not None and topic in _FRAMED and record.value:
            headers = tuple(h for h in record.headers if h[0] != FRAME_HEADER)
            value = self._frames.frame(record.value)
            record = NewRecord(key=record.key, value=value, headers=headers)
        return await self.inner.produce(topic, partition, record)


class _FramingAppender:
    def __init__(
        self, inner: Appender, frames: ConfluentFrames | None, source: bytes | None
    ) -> None:
        self._inner = inner
        self._frames = frames
        self._source = source

    async def append(self, batch: Sequence[NewRecord]) -> int:
        return await self._inner.append([self._frame(record) for record in batch])

    async def close(self) -> None:
        await self._inner.close()

    def _frame(self, record: NewRecord) -> NewRecord:
        value, headers = record.value or b"", record.headers
        if self._source is not None:
            headers += cloud_event_headers(value, headers, source=self._source)
        if self._frames is not None:
            value = self._frames.frame(value)
        return NewRecord(key=record.key, value=value, headers=headers)


class _UnframingReader:
    def __init__(
        self, inner: Reader, frames: ConfluentFrames, *, with_schema_id: bool
    ) -> None:
        self._inner = inner
        self._frames = frames
        self._with_schema_id = with_schema_id
        self._chunk: Chunk | None = None

    async def read(self, *, max_wait_s: float) -> Chunk | None:
        # Kept until it is returned: when the registry fails, or the caller is
        # cancelled, the next read must return the same records.
        if self._chunk is None:
            self._chunk = await self._inner.read(max_wait_s=max_wait_s)
        if self._chunk is None:
            return None
        records = [await self._unframe(record) for record in self._chunk.records]
        chunk, self._chunk = self._chunk, None
        return replace(chunk, records=records)

    async def close(self) -> None:
        await self._inner.close()

    async def _unframe(self, record: Record) -> Record:
        if record.value is None or record.value[:1] != b"\x00":
            return record
        value = await self._frames.unframe(record.value)
        if value is record.value or not self._with_schema_id:
            return replace(record, value=value)
        schema_id = str(int.from_bytes(record.value[1:5], "big")).encode()
        headers = (*record.headers, (FRAME_HEADER, schema_id))
        return replace(record, value=value, headers=headers)
