"""Sends the batches of a process: as many as may be in one request.

Theory of operation. A request costs its sender and its broker as much as twenty records
do. So small batches leave together:

* those of one turn of the event loop, at its end: an acknowledgement wakes the owners
  of all partitions that it is about in one turn, and mostly each has its next batch in
  that turn too;
* those that come while a request to the same broker has just left: they wait for its
  answer, and leave with what it wakes the owners to decide. They wait for `GATHER_S` at
  most: a partition whose replicas are slow holds up no other for longer.

A batch that is large already leaves at once, with those that wait: its broker works on
it while other owners decide. A batch that is sent again goes alone: if it is its
partition that keeps the broker from an answer, it holds up no other.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from sayiir_es.log.kafka.connection import REQUEST_LIMIT_MS
from sayiir_es.log.kafka.connection_pool import LeaderRequests
from sayiir_es.log.kafka.produce_format import (
    PRODUCE,
    AppendAnswer,
    decode_produce,
    encode_produce,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiokafka.structs import TopicPartition

    from sayiir_es.log.kafka.connection import Cluster

AT_ONCE_BYTES = 8 * 1024
"""A request of so many bytes does not wait for the end of the turn: to decide on as
much takes some milliseconds, in which its broker would do nothing."""

GATHER_S = 0.003
"""How long batches wait for the answer of a request that left before, in seconds: a
broker nearby answers within one or two milliseconds."""


class _Batch(NamedTuple):
    partition: TopicPartition
    data: bytes
    answer: asyncio.Future[AppendAnswer]


@dataclass(slots=True, eq=False)
class _Waiting:
    """The batches for one broker that have not left."""

    batches: dict[TopicPartition, _Batch] = field(
        default_factory=dict["TopicPartition", _Batch]
    )
    size: int = 0
    leaving: asyncio.Handle | None = None
    """Lets them leave, at the end of this turn of the loop or later."""
    awaited: Sequence[_Batch] | None = None
    """What is under way, and whose answer small batches wait for."""
    sent_at_s: float = 0.0
    """When that left, by the loop's clock."""


class AppendRequests(LeaderRequests):
    """The produce requests of one log: of its appenders and of its producer.

    `append` and `ask` raise `LogUnavailableError` while the log is closed.
    """

    def __init__(self, cluster: Cluster) -> None:
        """Connect nothing yet."""
        super().__init__(cluster)
        self._waiting: dict[int, _Waiting] = {}

    def append(
        self, partition: TopicPartition, data: bytes, *, again: bool
    ) -> asyncio.Future[AppendAnswer]:
        """Send a batch to the partition's leader; `again` if it may be there already.

        The future has the leader's answer, or one of `TRANSPORT_ERRORS`: then call
        `refresh` and try again; or the `LogRefusedError` of a leader that does not let
        this client in: then this call sent nothing. A batch whose future is cancelled
        before it was sent is never sent.

        Raises:
            LeaderNotAvailableError: the partition has no leader now.
        """
        node = self._leader(partition)
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        batch = _Batch(partition, data, answer)
        if again:
            self._send(node, [batch])
            return answer
        waiting = self._waiting.get(node)
        if waiting is None:
            waiting = self._waiting[node] = _Waiting()
        if partition in waiting.batches:
            self._leave(node, waiting)  # of an appender before: it goes first
        waiting.batches[partition] = batch
        waiting.size += len(data)
        if waiting.size >= AT_ONCE_BYTES:
            self._leave(node, waiting)
        elif waiting.leaving is None:
            if waiting.awaited is None:
                waiting.leaving = loop.call_soon(self._leave, node, waiting)
            else:
                at_s = waiting.sent_at_s + GATHER_S
                waiting.leaving = loop.call_at(at_s, self._leave, node, waiting)
        return answer

    async def ask(self, partition: TopicPartition, request: Any) -> Any:
        """Send another request to the partition's leader and return its answer.

        Raises:
            one of `TRANSPORT_ERRORS`: call `refresh`, then try again.
        """
        return await self._pool.ask(self._leader(partition), request)

    def _leave(self, node: int, waiting: _Waiting) -> None:
        """Send what waits. Small batches that come later wait for its answer."""
        if waiting.leaving is not None:
            waiting.leaving.cancel()
            waiting.leaving = None
        batches = [*waiting.batches.values()]
        is_large = waiting.size >= AT_ONCE_BYTES
        waiting.batches.clear()
        waiting.size = 0
        if is_large:
            self._send(node, batches)
            return
        waiting.awaited = batches
        waiting.sent_at_s = asyncio.get_running_loop().time()
        self._send(node, batches, lambda: self._end_wait(node, waiting, batches))

    def _end_wait(
        self, node: int, waiting: _Waiting, batches: Sequence[_Batch]
    ) -> None:
        """These are under way no more: who waited for their answer leaves soon."""
        if waiting.awaited is not batches:
            return
        waiting.awaited = None
        if waiting.leaving is not None:
            waiting.leaving.cancel()
            # Owners whom the answer wakes begin attempts in the next turn of the loop,
            # and decide on those that end at once in the turn behind it.
            loop = asyncio.get_running_loop()
            waiting.leaving = loop.call_soon(self._leave_next_turn, node, waiting)

    def _leave_next_turn(self, node: int, waiting: _Waiting) -> None:
        loop = asyncio.get_running_loop()
        waiting.leaving = loop.call_soon(self._leave, node, waiting)

    def _send(
        self,
        node: int,
        batches: Sequence[_Batch],
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """Send one request; `on_end` is called when its answers are handed over."""
        wanted = [batch for batch in batches if not batch.answer.done()]
        if not wanted:
            on_end()
            return

        def take(answer: memoryview | Exception) -> None:
            _hand_over(wanted, answer)
            on_end()

        body = encode_produce(
            [(batch.partition, batch.data) for batch in wanted], REQUEST_LIMIT_MS
        )
        self._pool.request(node, PRODUCE, body, take)


def _hand_over(batches: Sequence[_Batch], answer: memoryview | Exception) -> None:
    """Whoever waits for the answer of a batch has it, or hears why there is none."""
    if isinstance(answer, Exception):
        for batch in batches:
            if not batch.answer.done():
                batch.answer.set_exception(answer)
        return
    answers = decode_produce(answer)
    for batch in batches:
        if not batch.answer.done():
            batch.answer.set_result(answers[batch.partition])
