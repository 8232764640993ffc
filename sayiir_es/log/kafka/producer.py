"""Writes single records to many partitions, for many callers at once.

Theory of operation. Each partition has a queue, and at most one batch of it is under
way. The queues of all partitions that one broker leads share one request at a time:
what arrives while it is under way leaves together in the next one. So a single record
is sent at once, and thousands share a few requests. A queue keeps the order of arrival.

A batch carries a producer id and a sequence number of its queue (Kafka's idempotence):
the same bytes are sent again, to the same leader or the next one, and are written once.
When a queue's batch was not acknowledged within the limit, nobody knows whether it will
land: it fails, and so does all that was queued behind it; the queue goes on with a
fresh producer id.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from aiokafka.errors import LeaderNotAvailableError, for_code
from aiokafka.protocol.transaction import InitProducerIdRequest

from sayiir_es.core.model.errors import (
    BatchTooLargeError,
    LogError,
    LogRefusedError,
    LogUnavailableError,
)
from sayiir_es.log.batch_size import bytes_in_batch
from sayiir_es.log.kafka.appender import (
    INVALID_TIMESTAMP,
    LAST_SEQUENCE,
    NO_TRANSACTION,
    NO_TRANSACTION_MS,
    TOO_LARGE,
    ProducerId,
    batch_limit,
    build_batch,
    clock_refused,
    producer_id_refusal,
    write_refusal,
)
from sayiir_es.log.kafka.broker_connection import TRANSPORT_ERRORS
from sayiir_es.log.kafka.connection_pool import NotSentError
from sayiir_es.telemetry import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiokafka.structs import TopicPartition

    from sayiir_es.log.kafka.append_requests import AppendRequests
    from sayiir_es.log.kafka.connection import Cluster
    from sayiir_es.log.kafka.produce_format import AppendAnswer
    from sayiir_es.log.port import NewRecord

# A million waiting callers would be a fault of the caller; this many are a busy second.
QUEUE_RECORDS_MAX = 100_000
POSTED_BYTES_MAX = 64 << 20
"""How many bytes of posted records wait in one queue at most; more are dropped."""

REQUEST_BYTES_MAX = 16 << 20
"""How many bytes of batches one request carries, about."""

CLOSE_LIMIT_S = 1.0
"""How long closing waits for what is queued, in seconds."""

TOLD_LOST_EVERY_S = 60.0
"""How often a lost posted record is told for one partition, in seconds."""

_logger = get_logger(__name__)

Entry: TypeAlias = "tuple[NewRecord, asyncio.Future[int] | None]"
"""A record and who waits for its offset; nobody where it was posted."""


@dataclass(slots=True)
class SentBatch:
    """A batch under way: its bytes, and until when it is sent again (loop's clock)."""

    entries: list[Entry]
    data: bytes
    deadline_s: float
    sends: int = 0


@dataclass(slots=True, eq=False)
class PartitionQueue:
    """What is to be written to one partition."""

    partition: TopicPartition
    max_message_bytes: int
    entries: deque[Entry] = field(default_factory=deque[Entry])
    batch: SentBatch | None = None
    producer_id: ProducerId | None = None
    sequence: int = 0
    posted_bytes: int = 0
    is_ready: bool = False
    """Whether it is among those that the next request to their leader looks at."""
    waits_since_s: float = 0.0
    """Since when its first entry waits for a batch, by the loop's clock."""
    told_lost_s: float = float("-inf")
    """When it was last said that posted records are lost, by the loop's clock."""

    @property
    def has_work(self) -> bool:
        """Whether something is to be sent."""
        return self.batch is not None or bool(self.entries)


class RecordProducer:
    """The shared writer of one process; one for each log."""

    def __init__(
        self, cluster: Cluster, requests: AppendRequests, *, limit_s: float
    ) -> None:
        """Connect nothing yet; `limit_s` is how long a record may take, in seconds."""
        self._cluster = cluster
        self._limit_s = limit_s
        self._queues: dict[TopicPartition, PartitionQueue] = {}
        self._requests = requests
        self._ready: dict[int | None, dict[PartitionQueue, None]] = {}
        """Those with work, by the broker that leads their partition; None: unknown."""
        self._tasks: dict[int | None, asyncio.Task[None]] = {}
        self._shared_id: ProducerId | None = None

    async def produce(
        self, partition: TopicPartition, record: NewRecord, *, max_message_bytes: int
    ) -> int:
        """Write one record and return its offset.

        Raises:
            LogUnavailableError: it was not acknowledged; it may still land.
            BatchTooLargeError: the log refused its size; nothing was written.
            LogRefusedError: the log refused it for its time, or the client; as above.
        """
        queue = self._queue(partition, max_message_bytes)
        if len(queue.entries) >= QUEUE_RECORDS_MAX:
            raise LogUnavailableError(
                f"expected at most {QUEUE_RECORDS_MAX} records to wait, but there are"
            )
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._enqueue(queue, (record, future))
        return await future

    def post(
        self, partition: TopicPartition, record: NewRecord, *, max_message_bytes: int
    ) -> None:
        """Write one record that may be lost; returns at once."""
        queue = self._queue(partition, max_message_bytes)
        size = len(record.value or b"")
        if queue.posted_bytes + size > POSTED_BYTES_MAX:
            waiting = f"{queue.posted_bytes} bytes wait for its leader"
            error = LogUnavailableError(f"expected room for a record, but {waiting}")
            _tell_lost(queue, error)
            return
        queue.posted_bytes += size
        self._enqueue(queue, (record, None))

    async def close(self) -> None:
        """Let what is queued leave for a moment, then stop.

        Posted records are often last words, which nobody waits for. Callers that still
        wait behind that moment get a `LogUnavailableError`.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT_S):
                while self._tasks:
                    await asyncio.wait([*self._tasks.values()])
        tasks, self._tasks = [*self._tasks.values()], {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for node in tuple(self._ready):
            self._take_ready(node)
        for queue in self._queues.values():
            _fail(queue, LogUnavailableError("expected an open log, but it ends"))

    # --- queues and brokers -----------------------------------------------------------

    def _queue(
        self, partition: TopicPartition, max_message_bytes: int
    ) -> PartitionQueue:
        queue = self._queues.get(partition)
        if queue is None:
            queue = self._queues[partition] = PartitionQueue(
                partition, max_message_bytes
            )
        return queue

    def _enqueue(self, queue: PartitionQueue, entry: Entry) -> None:
        if not queue.has_work:
            queue.waits_since_s = asyncio.get_running_loop().time()
        queue.entries.append(entry)
        if not queue.is_ready:
            self._send(queue)

    def _send(self, queue: PartitionQueue) -> None:
        """Let a queue's work leave with the next request to its leader."""
        leader = self._cluster.leader(queue.partition)
        node = None if leader is None else int(leader.nodeId)
        self._ready.setdefault(node, {})[queue] = None
        queue.is_ready = True
        if node not in self._tasks:
            work = self._find_leaders() if node is None else self._serve(node)
            task = self._tasks[node] = asyncio.ensure_future(work)
            task.add_done_callback(lambda ended: self._on_end(node, ended))

    def _on_end(self, node: int | None, task: asyncio.Task[None]) -> None:
        if self._tasks.get(node) is not task:
            return
        del self._tasks[node]
        queues = self._take_ready(node)
        error = None if task.cancelled() else task.exception()
        if error is not None:  # a bug here: callers must not wait for ever
            for queue in queues:
                _fail(queue, LogUnavailableError(f"expected no bug, but {error!r}"))
            raise error
        for queue in queues:
            if queue.has_work:
                self._send(queue)

    def _take_ready(self, node: int | None) -> list[PartitionQueue]:
        """Remove and return the queues that are ready for a broker."""
        queues = [*self._ready.pop(node, {})]
        for queue in queues:
            queue.is_ready = False
        return queues

    async def _find_leaders(self) -> None:
        """Wait until the partitions of these queues have leaders again."""
        queues = self._take_ready(None)
        loop = asyncio.get_running_loop()
        end_s = loop.time() + self._limit_s
        while queues:
            await self._cluster.refresh()
            led = [queue for queue in queues if self._cluster.leader(queue.partition)]
            queues = [queue for queue in queues if queue not in led]
            if loop.time() > end_s:
                for queue in queues:
                    _fail(queue, self._silence(queue))
                queues = []
            for queue in led:
                self._send(queue)
            more = self._take_ready(None)
            queues.extend(queue for queue in more if queue not in queues)

    # --- one broker -------------------------------------------------------------------

    async def _serve(self, node: int) -> None:
        """Send to one broker until nothing is left for it."""
        while self._ready.get(node):
            queues = [queue for queue in self._take_ready(node) if queue.has_work]
            later = await self._exchange(queues)
            if later:
                await self._cluster.refresh()
                self._expire(queues)
            for queue in queues:
                if queue.has_work:
                    self._send(queue)

    async def _exchange(self, queues: Sequence[PartitionQueue]) -> bool:
        """One request with what these queues have; whether some must wait a little."""
        try:
            batches = await self._take_batches(queues)
        except TRANSPORT_ERRORS:
            self._expire(queues)
            return True
        except (LogUnavailableError, LogRefusedError) as error:
            for queue in queues:
                _fail(queue, error)
            return False
        answers = [self._send_batch(queue, batch) for queue, batch in batches.items()]
        is_late = False
        try:
            for (queue, batch), answer in zip(batches.items(), answers, strict=True):
                is_late |= await self._wait_for(queue, batch, answer)
        finally:
            for answer in answers:  # nobody waits for them any more
                answer.cancel()
        self._expire(queues)
        return is_late

    def _send_batch(
        self, queue: PartitionQueue, batch: SentBatch
    ) -> asyncio.Future[AppendAnswer]:
        again = batch.sends > 0
        batch.sends += 1
        try:
            return self._requests.append(queue.partition, batch.data, again=again)
        except (LogUnavailableError, *TRANSPORT_ERRORS) as error:
            refused: asyncio.Future[AppendAnswer]
            refused = asyncio.get_running_loop().create_future()
            refused.set_exception(error)
            return refused

    async def _wait_for(
        self,
        queue: PartitionQueue,
        batch: SentBatch,
        answer: asyncio.Future[AppendAnswer],
    ) -> bool:
        """Take what becomes of a queue's batch; whether it is to be sent again."""
        try:
            code, base = await answer
        except (NotSentError, LeaderNotAvailableError):
            batch.sends -= 1
            return True
        except TRANSPORT_ERRORS:
            return True
        except (LogUnavailableError, LogRefusedError) as error:
            _fail(queue, error)
            return False
        if queue.batch is not batch:  # it was sent to two leaders, and is settled
            return False
        return self._take_answer(queue, batch, code, base)

    async def _take_batches(
        self, queues: Iterable[PartitionQueue]
    ) -> dict[PartitionQueue, SentBatch]:
        batches: dict[PartitionQueue, SentBatch] = {}
        size = 0
        for queue in queues:
            if queue.batch is None:
                await self._next_batch(queue)
            if queue.batch is not None:
                batches[queue] = queue.batch
                size += len(queue.batch.data)
                if size > REQUEST_BYTES_MAX:
                    break
        return batches

    async def _next_batch(self, queue: PartitionQueue) -> None:
        """Make the queue's next batch of what is queued, if that fits."""
        producer_id = queue.producer_id
        if producer_id is None or queue.sequence + len(queue.entries) > LAST_SEQUENCE:
            producer_id = queue.producer_id = await self._identify(queue)
            queue.sequence = 0
        while queue.entries:
            entries = _take_entries(queue)
            try:
                data = build_batch(
                    [record for record, _ in entries],
                    producer_id,
                    queue.sequence,
                    max_message_bytes=queue.max_message_bytes,
                    name=_name(queue),
                )
            except BatchTooLargeError as error:
                _fail_entries(queue, entries, error)
                _forget_posted(queue, entries)
                continue
            now_s = asyncio.get_running_loop().time()
            queue.batch = SentBatch(entries, data, now_s + self._limit_s)
            return

    async def _identify(self, queue: PartitionQueue) -> ProducerId:
        """The producer's id; a fresh one where this queue's last batch is uncertain."""
        is_first = queue.producer_id is None and queue.sequence == 0
        if is_first and self._shared_id is not None:
            return self._shared_id
        request = InitProducerIdRequest(
            transactional_id=NO_TRANSACTION, transaction_timeout_ms=NO_TRANSACTION_MS
        )
        while True:
            response = await self._requests.ask(queue.partition, request)
            code = response.error_code
            if not code:
                break
            topic = queue.partition.topic
            refusal = producer_id_refusal(code, topic, self._cluster.options)
            if refusal is not None:
                raise refusal
            await self._cluster.refresh()
        fresh = ProducerId(response.producer_id, response.producer_epoch)
        if is_first:
            self._shared_id = fresh
        return fresh

    def _take_answer(
        self, queue: PartitionQueue, batch: SentBatch, code: int, base: int
    ) -> bool:
        """What the broker said of a queue's batch; whether it is to be sent again."""
        if not code:
            queue.batch = None
            queue.waits_since_s = asyncio.get_running_loop().time()
            queue.sequence += len(batch.entries)
            for index, (record, future) in enumerate(batch.entries):
                if future is None:
                    queue.posted_bytes -= len(record.value or b"")
                elif not future.done():
                    future.set_result(base + index)
            return False
        error = for_code(code)
        if error.retriable:
            return True
        refusal: LogError
        is_certain = batch.sends == 1
        if code in TOO_LARGE and is_certain:
            refusal = BatchTooLargeError(
                f"expected a batch that {_name(queue)} takes, but {error.__name__}: "
                "raise max.message.bytes of the topic"
            )
        elif code == INVALID_TIMESTAMP and is_certain:
            refusal = clock_refused(_name(queue), error.__name__)
        elif is_certain and (refused := self._write_refusal(queue, code)) is not None:
            refusal = refused
        else:
            refusal = LogUnavailableError(
                f"expected an acknowledgement from {_name(queue)}, but {error.__name__}"
            )
            _fail(queue, refusal)
            return False
        queue.batch = None  # it was not written: its sequence numbers are free
        queue.waits_since_s = asyncio.get_running_loop().time()
        _fail_entries(queue, batch.entries, refusal)
        _forget_posted(queue, batch.entries)
        return False

    def _write_refusal(
        self, queue: PartitionQueue, code: int
    ) -> LogRefusedError | None:
        topic = queue.partition.topic
        return write_refusal(code, _name(queue), topic, self._cluster.options)

    def _expire(self, queues: Iterable[PartitionQueue]) -> None:
        now_s = asyncio.get_running_loop().time()
        for queue in queues:
            if queue.batch is not None:
                end_s = queue.batch.deadline_s
            else:  # no broker was reached that could have given it a producer id
                end_s = queue.waits_since_s + self._limit_s
            if queue.has_work and now_s >= end_s:
                _fail(queue, self._silence(queue))

    def _silence(self, queue: PartitionQueue) -> LogUnavailableError:
        return LogUnavailableError(
            f"expected an answer from the leader of {_name(queue)} in "
            f"{self._limit_s:.0f} s, but there was none"
        )


def _take_entries(queue: PartitionQueue) -> list[Entry]:
    """Remove from the queue what fits into one batch, in order; one at least."""
    limit = batch_limit(queue.max_message_bytes)
    entries = [queue.entries.popleft()]
    size = bytes_in_batch(entries[0][0])
    while queue.entries:
        size += bytes_in_batch(queue.entries[0][0])
        if size > limit:
            break
        entries.append(queue.entries.popleft())
    return entries


def _fail(queue: PartitionQueue, error: LogError) -> None:
    """The queue's batch is uncertain: it fails, and all that was queued behind it."""
    entries = [
        *(queue.batch.entries if queue.batch is not None else ()),
        *queue.entries,
    ]
    queue.batch = None
    queue.entries.clear()
    queue.posted_bytes = 0
    # Another id: what was sent under this one may land later, and must not be taken
    # for the first time of something else. The sequence says that it had one.
    queue.producer_id, queue.sequence = None, max(queue.sequence, 1)
    _fail_entries(queue, entries, error)


def _fail_entries(
    queue: PartitionQueue, entries: Sequence[Entry], error: LogError
) -> None:
    for _, future in entries:
        if future is not None and not future.done():
            future.set_exception(error)
    if any(future is None for _, future in entries):
        _tell_lost(queue, error)


def _tell_lost(queue: PartitionQueue, error: LogError) -> None:
    """Say that posted records are lost, now and then: nobody else would hear of it."""
    now_s = asyncio.get_running_loop().time()
    if now_s - queue.told_lost_s >= TOLD_LOST_EVERY_S:
        queue.told_lost_s = now_s
        topic, number = queue.partition
        _logger.warning(
            "records.lost", topic=topic, partition=number, reason=str(error)
        )


def _forget_posted(queue: PartitionQueue, entries: Iterable[Entry]) -> None:
    for record, future in entries:
        if future is None:
            queue.posted_bytes -= len(record.value or b"")


def _name(queue: PartitionQueue) -> str:
    topic, number = queue.partition
    return f"{topic!r} {number}"
