"""Appends batches to one partition, each exactly once, with one batch in flight.

The batch carries a producer id and a sequence number (Kafka's idempotence), so the same
bytes can be sent again, to the same leader or the next one, and are written once: an
outage shorter than the limit only makes one `append` slow. When the limit ends an
append, or the broker answers with an error that retrying cannot cure, nobody knows
whether the bytes that were sent will land: the appender is dead from then on.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka.errors import for_code
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from sayiir_es.core.instants import instant
from sayiir_es.core.model.errors import (
    BatchTooLargeError,
    ClockRefusedError,
    LogRefusedError,
    LogUnavailableError,
    UncertainAppendError,
)
from sayiir_es.log.batch_size import batch_bytes
from sayiir_es.log.kafka.access import refusal_of
from sayiir_es.log.kafka.broker_connection import TRANSPORT_ERRORS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka.structs import TopicPartition

    from sayiir_es.log.kafka.append_requests import AppendRequests
    from sayiir_es.log.kafka.produce_format import AppendAnswer
    from sayiir_es.log.port import NewRecord

# Sequence numbers have 32 bits; after the last one a fresh producer id begins at 0.
LAST_SEQUENCE = 2**31 - 1
NO_TRANSACTION: Any = None
NO_TRANSACTION_MS = 2**31 - 1
TOO_LARGE = frozenset({10, 18})  # MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE
INVALID_TIMESTAMP = 32
# TOPIC_AUTHORIZATION_FAILED, CLUSTER_AUTHORIZATION_FAILED, POLICY_VIOLATION,
# INVALID_RECORD: they say that nothing was written.
REFUSES = frozenset({29, 31, 44, 87})
_BATCH_HEADER_BYTES = 61


def batch_limit(max_message_bytes: int) -> int:
    """Return how many bytes of records a batch may hold, as `batch_bytes` counts."""
    return max_message_bytes - _BATCH_HEADER_BYTES


class ProducerId(NamedTuple):
    """What tells a broker which batches are repeated: a producer's id and its epoch."""

    id: int
    epoch: int


def build_batch(
    batch: Sequence[NewRecord],
    producer_id: ProducerId,
    sequence: int,
    *,
    max_message_bytes: int,
    name: str,
) -> bytes:
    """The bytes of a batch whose first record has that sequence number.

    `name` is the partition's, for an error.

    Raises:
        BatchTooLargeError: it has more bytes than the topic takes.
    """
    builder = DefaultRecordBatchBuilder(
        2, 0, 0, *producer_id, sequence, max_message_bytes
    )
    now_ms = time.time_ns() // 1_000_000
    append: Any = builder.append
    for index, record in enumerate(batch):
        if append(index, now_ms, record.key, record.value, [*record.headers]) is None:
            raise _too_large(batch, max_message_bytes, name)
    data = bytes(builder.build())
    if len(data) > max_message_bytes:  # of one record the builder takes any size
        raise _too_large(batch, max_message_bytes, name)
    return data


def _too_large(
    batch: Sequence[NewRecord], max_message_bytes: int, name: str
) -> BatchTooLargeError:
    limit = batch_limit(max_message_bytes)
    return BatchTooLargeError(
        f"expected at most {limit} bytes in one batch for {name}, but it has "
        f"{batch_bytes(batch)}"
    )


def _closed_error() -> LogUnavailableError:
    return LogUnavailableError("expected an open appender, but it was closed")


def clock_refused(name: str, error: str) -> ClockRefusedError:
    """The error of a partition that refuses the time of this machine."""
    now = instant(time.time_ns() // 1_000_000)
    return ClockRefusedError(
        f"expected {name} to take records of {now}, the time of this machine, but "
        f"{error}: let it keep time by NTP"
    )


def write_refusal(
    code: int, name: str, topic: str, options: Mapping[str, Any]
) -> LogRefusedError | None:
    """The error of a partition that takes no batch of this client.

    None where it says something of the batch, or may take it later.
    """
    if code not in REFUSES:
        return None
    return refusal_of(
        code, f"write to {name}", operation="Write", name=topic, options=options
    )


def producer_id_refusal(
    code: int, topic: str, options: Mapping[str, Any]
) -> LogRefusedError | None:
    """The error of a broker that gives this client no producer id.

    Whoever may write to any topic gets one.
    """
    return refusal_of(
        code, "get a producer id", operation="Write", name=topic, options=options
    )


class KafkaAppender:
    """The only writer of its producer id; see `log.port.Appender`."""

    def __init__(
        self,
        requests: AppendRequests,
        partition: TopicPartition,
        *,
        max_message_bytes: int,
        limit_s: float,
    ) -> None:
        self._requests = requests
        self.partition = partition
        self._max_message_bytes = max_message_bytes
        self._limit_s = limit_s
        self.producer_id = -1
        self._epoch = -1
        self._sequence = 0
        self._idle = False
        self._closed = False
        self._answer: asyncio.Future[AppendAnswer] | None = None
        """What the leader says of the batch in flight."""

    async def start(self) -> None:
        """Get a producer id of the leader, so that `append` is one request.

        Raises:
            LogUnavailableError: no leader answered within the limit.
        """
        try:
            async with asyncio.timeout(self._limit_s):
                await self._identify()
            self._idle = True
        except TimeoutError as error:
            raise LogUnavailableError(
                f"expected a leader of {self._name}, but none answered "
                f"in {self._limit_s:.0f} s"
            ) from error

    async def append(self, batch: Sequence[NewRecord]) -> int:
        """Append one batch and return its first record's offset.

        Raises:
            UncertainAppendError: the batch may or may not land, now or later.
            BatchTooLargeError: the log refused its size; nothing was written.
            LogRefusedError: the log refused it for another reason; as above.
        """
        if not self._idle:
            raise UncertainAppendError(
                f"expected a usable appender of {self._name}, but an append before it "
                "has not ended well, or it is closed"
            )
        self._idle = False
        try:
            async with asyncio.timeout(self._limit_s):
                if self._sequence + len(batch) > LAST_SEQUENCE:
                    await self._identify()
                base = await self._deliver(self._build(batch))
        except (BatchTooLargeError, LogRefusedError):
            self._idle = True
            raise
        except (TimeoutError, LogUnavailableError) as error:
            reason = str(error) or "there was none"
            raise UncertainAppendError(
                f"expected an answer from the leader of {self._name} "
                f"in {self._limit_s:.0f} s, but {reason}"
            ) from error
        self._sequence += len(batch)
        self._idle = True
        return base

    async def close(self) -> None:
        """Close it; never waits for the log. A batch that was sent may still land."""
        self._idle = False
        self._closed = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(_closed_error())

    @property
    def _name(self) -> str:
        topic, partition = self.partition
        return f"{topic!r} {partition}"

    async def _identify(self) -> None:
        request = InitProducerIdRequest(
            transactional_id=NO_TRANSACTION,
            transaction_timeout_ms=NO_TRANSACTION_MS,
        )
        while True:
            try:
                response = await self._requests.ask(self.partition, request)
            except TRANSPORT_ERRORS:
                await self._requests.refresh()
                continue
            code = response.error_code
            if not code:
                self.producer_id = response.producer_id
                self._epoch = response.producer_epoch
                self._sequence = 0
                return
            topic, options = self.partition.topic, self._requests.options
            refusal = producer_id_refusal(code, topic, options)
            if refusal is not None:
                raise refusal
            await self._requests.refresh()

    def _build(self, batch: Sequence[NewRecord]) -> bytes:
        return build_batch(
            batch,
            ProducerId(self.producer_id, self._epoch),
            self._sequence,
            max_message_bytes=self._max_message_bytes,
            name=self._name,
        )

    async def _deliver(self, data: bytes) -> int:
        sent_before = False
        while not self._closed:
            try:
                self._answer = self._requests.append(
                    self.partition, data, again=sent_before
                )
                code, base = await self._answer
            except TRANSPORT_ERRORS:
                sent_before = True
                await self._requests.refresh()
                continue
            except LogRefusedError as refused:  # of a connection; another one sent it
                if not sent_before:
                    raise
                raise LogUnavailableError(str(refused)) from refused
            if not code:
                return base
            error = for_code(code)
            if code in TOO_LARGE and not sent_before:
                raise BatchTooLargeError(
                    f"expected a batch that {self._name} takes, but {error.__name__}: "
                    "raise max.message.bytes of the topic"
                )
            if code == INVALID_TIMESTAMP and not sent_before:
                raise clock_refused(self._name, error.__name__)
            topic, options = self.partition.topic, self._requests.options
            refusal = write_refusal(code, self._name, topic, options)
            if refusal is not None and not sent_before:
                raise refusal
            if not error.retriable:
                raise UncertainAppendError(
                    f"expected an acknowledgement from {self._name}, "
                    f"but {error.__name__}"
                )
            sent_before = True
            await self._requests.refresh()
        raise _closed_error()
