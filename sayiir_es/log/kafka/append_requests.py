"""Sends the batches of a process's appenders: those of one turn of the loop together.

Theory of operation. An acknowledgement wakes the owners of all partitions that it is
about in one turn of the event loop, and mostly each has its next batch in that turn
too. Such batches leave as one request to their leader, at the end of the turn: a
request costs its sender and its broker as much as twenty records do. A batch that is
large already leaves at once, with those that wait for the end of the turn: its broker
works on it while other owners decide.

A broker answers the requests of one connection in order. So each request has a
connection for itself until it is answered; a free one is used again. A batch that is
sent again goes alone: if it is its partition that keeps the broker from an answer, it
holds up no other.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka.errors import LeaderNotAvailableError
from aiokafka.protocol.produce import ProduceRequest

from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.log.kafka.connection import REQUEST_LIMIT_MS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiokafka.structs import TopicPartition

    from sayiir_es.log.kafka.connection import BrokerConnection, Cluster

ALL_REPLICAS = -1

AT_ONCE_BYTES = 8 * 1024
"""A request of so many bytes does not wait for the end of the turn: to decide on as
much takes some milliseconds, in which its broker would do nothing."""


class AppendAnswer(NamedTuple):
    """A broker's answer for one batch: an error code, or 0 and its first offset."""

    code: int
    base: int


class _Batch(NamedTuple):
    partition: TopicPartition
    data: bytes
    answer: asyncio.Future[AppendAnswer]


@dataclass(slots=True)
class _Turn:
    """The batches for one broker that leave at the end of this turn of the loop."""

    batches: dict[TopicPartition, _Batch] = field(
        default_factory=dict["TopicPartition", _Batch]
    )
    size: int = 0


class AppendRequests:
    """The produce requests of the appenders of one log, on connections that they share.

    `append` and `ask` raise `LogUnavailableError` while the log is closed.
    """

    def __init__(self, cluster: Cluster) -> None:
        """Connect nothing yet."""
        self._cluster = cluster
        self._turns: dict[int, _Turn] = {}
        self._open: set[BrokerConnection] = set()
        self._idle: dict[int, list[BrokerConnection]] = {}
        """Those of the open ones that no request uses, by broker."""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def options(self) -> Mapping[str, Any]:
        """How this client connects, for the words of a refusal."""
        return self._cluster.options

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

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
        answer = asyncio.get_running_loop().create_future()
        batch = _Batch(partition, data, answer)
        if again:
            self._send(node, [batch])
            return answer
        turn = self._turns.get(node)
        if turn is not None and partition in turn.batches:
            self._end_turn(node, turn)  # of an appender before: it goes first
            turn = None
        if turn is None:
            turn = self._turns[node] = _Turn()
            asyncio.get_running_loop().call_soon(self._end_turn, node, turn)
        turn.batches[partition] = batch
        turn.size += len(data)
        if turn.size >= AT_ONCE_BYTES:
            self._end_turn(node, turn)
        return answer

    async def ask(self, partition: TopicPartition, request: Any) -> Any:
        """Send another request to the partition's leader and return its answer.

        Raises:
            one of `TRANSPORT_ERRORS`: call `refresh`, then try again.
        """
        return await self._exchange(self._leader(partition), request)

    async def refresh(self) -> None:
        """Find out who leads now."""
        await self._cluster.refresh()

    def close(self) -> None:
        """Close all connections: who waits for an answer gets a transport error."""
        for connection in self._open:
            connection.close()
        self._open.clear()
        self._idle.clear()

    def _leader(self, partition: TopicPartition) -> int:
        leader = self._cluster.leader(partition)
        if leader is None:
            raise LeaderNotAvailableError(str(partition))
        return int(leader.nodeId)

    def _end_turn(self, node: int, turn: _Turn) -> None:
        if self._turns.get(node) is not turn:
            return  # its batches have left
        del self._turns[node]
        self._send(node, [*turn.batches.values()])

    def _send(self, node: int, batches: Sequence[_Batch]) -> None:
        wanted = [batch for batch in batches if not batch.answer.done()]
        if not wanted:
            return
        task = asyncio.ensure_future(self._deliver(node, wanted))
        self._tasks.add(task)
        task.add_done_callback(lambda ended: self._on_end(ended, wanted))

    def _on_end(self, task: asyncio.Task[None], batches: Sequence[_Batch]) -> None:
        """Whoever waits for an answer hears why there is none."""
        self._tasks.discard(task)
        error = (
            LogUnavailableError("expected an open log, but it ends")
            if task.cancelled()
            else task.exception()
        )
        for batch in batches:
            if error is not None and not batch.answer.done():
                batch.answer.set_exception(error)

    async def _deliver(self, node: int, batches: Sequence[_Batch]) -> None:
        response = await self._exchange(node, _request(batches))
        answers = {
            (topic, number): AppendAnswer(code, int(base))
            for topic, partitions in response.topics
            for number, code, base, *_ in partitions
        }
        for batch in batches:
            if not batch.answer.done():
                batch.answer.set_result(answers[batch.partition])

    async def _exchange(self, node: int, request: Any) -> Any:
        connection = self._take_idle(node) or await self._cluster.connect(node)
        self._open.add(connection)
        try:
            response = await connection.send(request)
        except BaseException:
            self._drop(connection)  # what was sent may still arrive
            raise
        if connection in self._open:
            self._idle.setdefault(node, []).append(connection)
        return response

    def _take_idle(self, node: int) -> BrokerConnection | None:
        connections = self._idle.get(node, [])
        while connections:
            connection = connections.pop()
            if connection.is_open:
                return connection
            self._drop(connection)
        return None

    def _drop(self, connection: BrokerConnection) -> None:
        self._open.discard(connection)
        connection.close()


def _request(batches: Sequence[_Batch]) -> ProduceRequest:
    topics: dict[str, list[tuple[int, bytes]]] = {}
    for (topic, number), data, _ in batches:
        topics.setdefault(topic, []).append((number, data))
    return ProduceRequest(
        transactional_id=None,
        required_acks=ALL_REPLICAS,
        timeout=REQUEST_LIMIT_MS,
        topics=[*topics.items()],
    )
