"""Requests, replies and attempts on Kafka: read from now on; see the port.

Records that a topic has lost, by its retention or because it was made anew, are passed:
the subscription goes on at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sayiir_es.core.model.errors import LogUnavailableError, OffsetGoneError
from sayiir_es.log.kafka.topic_rules import REPLY_PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sayiir_es.log.kafka.opening import Opening
    from sayiir_es.log.port import NewRecord, Reader, Record, Topic

READ_WAIT_S = 60.0
"""How long one read waits, in seconds; a record ends it at once."""


_ENVELOPE_BYTES = 4096
"""For the head of a batch, the key and the headers of a message."""


class TopicReading(Protocol):
    """What a subscription needs of a log."""

    async def reader(self, topic: Topic, partition: int, offset: int) -> Reader:
        """A reader that begins at `offset`."""
        ...

    async def end_offset(self, topic: Topic, partition: int) -> int:
        """One above the last record."""
        ...


class KafkaRequestTopics:
    """The topics of requests and replies of an app; see `log.port.RequestTopics`."""

    def __init__(
        self,
        log: TopicReading,
        *,
        opening: Callable[[], Opening],
        opened: Callable[[Mapping[Topic, int]], None],
        post: Callable[[Topic, int, NewRecord], None],
        size: Callable[[], tuple[int, int | None]],
        message_bytes: Callable[[Topic], int],
    ) -> None:
        """Look at nothing yet.

        `size` gives the app's partitions and the replicas of new topics. `opened` is
        told the largest message of each topic, in bytes, and `message_bytes` gives it.
        """
        self.reply_partitions = REPLY_PARTITIONS
        self._log = log
        self._opening = opening
        self._opened = opened
        self._post = post
        self._size = size
        self._message_bytes = message_bytes
        self._is_open = False

    async def open(self, *, create: bool) -> bool:
        """Look for the topics, make them if `create`; whether they are there.

        Raises:
            LogUnavailableError: nothing answers.
            UnsafeLogError: they could not be made, or have another partition count.
        """
        if self._is_open:
            return True
        partitions, replication = self._size()
        found = await self._opening().open_requests(
            create=create, partitions=partitions, replication=replication
        )
        if found is None:
            return False
        self.reply_partitions = found.reply_partitions
        self._opened(found.message_bytes)
        self._is_open = True
        return True

    def post(self, topic: Topic, partition: int, record: NewRecord) -> bool:
        """Send a message; it may be lost, and is where the topics are not open."""
        if self._is_open:
            self._post(topic, partition, record)
        return self._is_open

    def is_heard(self, partition: int) -> bool:  # noqa: ARG002 (of the port)
        """Whether there are such topics: who reads them is not known."""
        return self._is_open

    def value_bytes_max(self, topic: Topic) -> int:
        """What the broker takes of one message, beside a key and headers."""
        return self._message_bytes(topic) - _ENVELOPE_BYTES

    async def subscribe(self, topic: Topic, partition: int) -> KafkaSubscription:
        """Read a partition from now on.

        Raises:
            LogUnavailableError: nothing answers.
        """
        if not self._is_open:
            raise LogUnavailableError(
                f"expected the topic of {topic.value}, but there is none"
            )
        subscription = KafkaSubscription(self._log, topic, partition)
        await subscription.go_to_end()
        return subscription


class KafkaSubscription:
    """The messages of one partition from the subscription on."""

    def __init__(self, log: TopicReading, topic: Topic, partition: int) -> None:
        self._log = log
        self._topic = topic
        self._partition = partition
        self._reader: Reader | None = None

    async def go_to_end(self) -> None:
        """Read from the end of the partition on."""
        await self.close()
        end = await self._log.end_offset(self._topic, self._partition)
        self._reader = await self._log.reader(self._topic, self._partition, end)

    async def read(self) -> Sequence[Record]:
        """Wait until there are messages, and return them; never empty.

        Raises:
            LogUnavailableError: the broker refused; a new subscription may do.
        """
        while True:
            if self._reader is None:
                raise LogUnavailableError("expected a subscription, but it is closed")
            try:
                chunk = await self._reader.read(max_wait_s=READ_WAIT_S)
            except OffsetGoneError:
                await self.go_to_end()
                continue
            if chunk is not None and chunk.records:
                return chunk.records

    async def close(self) -> None:
        """Stop reading."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()
