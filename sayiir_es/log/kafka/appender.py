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
from typing import TYPE_CHECKING, Any

from aiokafka.errors import NoError, for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from sayiir_es.core.instants import instant
from sayiir_es.core.model.errors import (
    BatchTooLargeError,
    ClockRefusedError,
    LogUnavailableError,
    UncertainAppendError,
)
from sayiir_es.log.batch_size import payload_bytes
from sayiir_es.log.kafka.connection import REQUEST_LIMIT_MS, TRANSPORT_ERRORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sayiir_es.log.kafka.connection import LeaderConnection
    from sayiir_es.log.port import NewRecord

# Sequence numbers have 32 bits; after the last one a fresh producer id begins at 0.
_LAST_SEQUENCE = 2**31 - 1
_ALL_REPLICAS = -1
_NO_TRANSACTION: Any = None
_NO_TRANSACTION_MS = 2**31 - 1
_TOO_LARGE = frozenset({10, 18})  # MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE
_INVALID_TIMESTAMP = 32
_BATCH_HEADER_BYTES = 61


def payload_limit(max_message_bytes: int) -> int:
    """Return how many bytes of keys, values and headers a batch may hold.

    An eighth is kept for what Kafka adds to each record: enough when a record has 115
    bytes or more, as every event does. `append` checks the exact size too.
    """
    return (max_message_bytes - _BATCH_HEADER_BYTES) * 7 // 8


class KafkaAppender:
    """The only writer of its producer id; see `log.port.Appender`."""

    def __init__(
        self, connection: LeaderConnection, *, max_message_bytes: int, limit_s: float
    ) -> None:
        self._connection = connection
        self._max_message_bytes = max_message_bytes
        self._limit_s = limit_s
        self.producer_id = -1
        self._epoch = -1
        self._sequence = 0
        self._idle = False

    async def start(self) -> None:
        """Connect to the leader and get a producer id, so that `append` is one request.

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
        finally:
            if not self._idle:
                self._connection.close()

    async def append(self, batch: Sequence[NewRecord]) -> int:
        """Append one batch and return its first record's offset.

        Raises:
            UncertainAppendError: the batch may or may not land, now or later.
            BatchTooLargeError: the log refused its size; nothing was written.
        """
        if not self._idle:
            raise UncertainAppendError(
                f"expected a usable appender of {self._name}, but an append before it "
                "has not ended well, or it is closed"
            )
        self._idle = False
        try:
            async with asyncio.timeout(self._limit_s):
                if self._sequence + len(batch) > _LAST_SEQUENCE:
                    await self._identify()
                base = await self._deliver(self._request(batch))
        except (BatchTooLargeError, ClockRefusedError):
            self._idle = True
            raise
        except (TimeoutError, LogUnavailableError) as error:
            self._connection.close()
            reason = str(error) or "there was none"
            raise UncertainAppendError(
                f"expected an answer from the leader of {self._name} "
                f"in {self._limit_s:.0f} s, but {reason}"
            ) from error
        self._sequence += len(batch)
        self._idle = True
        return base

    async def close(self) -> None:
        """Close the connection; never waits for the log."""
        self._idle = False
        self._connection.close()

    @property
    def _name(self) -> str:
        topic, partition = self._connection.partition
        return f"{topic!r} {partition}"

    async def _identify(self) -> None:
        request = InitProducerIdRequest(
            transactional_id=_NO_TRANSACTION,
            transaction_timeout_ms=_NO_TRANSACTION_MS,
        )
        while True:
            try:
                response = await self._connection.send(request)
            except TRANSPORT_ERRORS:
                await self._connection.recover()
                continue
            error = for_code(response.error_code)
            if error is NoError:
                self.producer_id = response.producer_id
                self._epoch = response.producer_epoch
                self._sequence = 0
                return
            if not error.retriable:
                raise LogUnavailableError(
                    f"expected a producer id for {self._name}, but {error.__name__}"
                )
            await self._connection.recover()

    def _request(self, batch: Sequence[NewRecord]) -> ProduceRequest:
        limit = self._max_message_bytes
        builder = DefaultRecordBatchBuilder(
            2, 0, 0, self.producer_id, self._epoch, self._sequence, limit
        )
        now_ms = time.time_ns() // 1_000_000
        append: Any = builder.append
        fits = True
        for index, record in enumerate(batch):
            headers = list(record.headers)
            if append(index, now_ms, record.key, record.value, headers) is None:
                fits = False
                break
        # The size is never below the payload's: mostly one comparison is enough.
        size = builder.size()
        if not fits or size > limit or size > payload_limit(limit):
            payload = payload_bytes(batch)
            if not fits or size > limit or payload > payload_limit(limit):
                raise BatchTooLargeError(
                    f"expected at most {payload_limit(limit)} bytes in one batch for "
                    f"{self._name}, but it has {payload}"
                )
        partition = self._connection.partition
        return ProduceRequest(
            transactional_id=None,
            required_acks=_ALL_REPLICAS,
            timeout=REQUEST_LIMIT_MS,
            topics=[(partition.topic, [(partition.partition, bytes(builder.build()))])],
        )

    async def _deliver(self, request: Any) -> int:
        sent_before = False
        while True:
            try:
                response = await self._connection.send(request)
            except TRANSPORT_ERRORS:
                sent_before = True
                await self._connection.recover()
                continue
            _, code, base, *_ = response.topics[0][1][0]
            if not code:
                return int(base)
            error = for_code(code)
            if code in _TOO_LARGE and not sent_before:
                raise BatchTooLargeError(
                    f"expected a batch that {self._name} takes, but {error.__name__}: "
                    "raise max.message.bytes of the topic"
                )
            if code == _INVALID_TIMESTAMP and not sent_before:
                now = instant(time.time_ns() // 1_000_000)
                raise ClockRefusedError(
                    f"expected {self._name} to take records of {now}, the time of "
                    f"this machine, but {error.__name__}: let it keep time by NTP"
                )
            if not error.retriable:
                self._connection.close()
                raise UncertainAppendError(
                    f"expected an acknowledgement from {self._name}, "
                    f"but {error.__name__}"
                )
            sent_before = True
            await self._connection.recover()
