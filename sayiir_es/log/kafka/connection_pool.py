"""The connections of one log, each used by one request at a time.

A broker answers the requests of one connection in order, so a request has a connection
for itself until it is answered; a free one is used again.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from aiokafka.errors import LeaderNotAvailableError

from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.log.kafka.broker_connection import TRANSPORT_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiokafka.structs import TopicPartition

    from sayiir_es.log.kafka.broker_connection import (
        BrokerConnection,
        OnAnswer,
        RequestKind,
    )
    from sayiir_es.log.kafka.connection import Cluster


class NotSentError(ConnectionError):
    """No connection could be made: the broker has seen nothing of the request."""


class LeaderRequests:
    """What is sent to the leaders of partitions, on a pool of its own."""

    def __init__(self, cluster: Cluster) -> None:
        """Connect nothing yet."""
        self._cluster = cluster
        self._pool = ConnectionPool(cluster)

    @property
    def options(self) -> Mapping[str, Any]:
        """How this client connects, for the words of a refusal."""
        return self._cluster.options

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return self._pool.connections

    async def refresh(self) -> None:
        """Find out who leads now."""
        await self._cluster.refresh()

    def close(self) -> None:
        """Close all connections: who waits for an answer gets a transport error."""
        self._pool.close()

    def _leader(self, partition: TopicPartition) -> int:
        leader = self._cluster.leader(partition)
        if leader is None:
            raise LeaderNotAvailableError(str(partition))
        return int(leader.nodeId)


class ConnectionPool:
    """Connections to all brokers of a cluster, made as they are needed."""

    def __init__(self, cluster: Cluster) -> None:
        """Connect nothing yet."""
        self._cluster = cluster
        self._open: set[BrokerConnection] = set()
        self._idle: dict[int, list[BrokerConnection]] = {}
        """Those of the open ones that no request uses, by broker."""
        self._tasks: set[asyncio.Task[None]] = set()
        """Each makes a connection for a request."""

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    def request(
        self, node: int, kind: RequestKind, body: Iterable[bytes], on_answer: OnAnswer
    ) -> None:
        """Send a request to a broker, at once if a connection is free.

        `on_answer` gets the answer, or one of `TRANSPORT_ERRORS`. Of these a
        `NotSentError` says that nothing was sent, and so does the `LogRefusedError` of
        a broker that does not let this client in, and the `LogUnavailableError` of a
        log that is closed.
        """
        connection = self._take_idle(node)
        if connection is not None:
            self._send(node, connection, kind, body, on_answer)
            return
        task = asyncio.ensure_future(self._connect(node, kind, body, on_answer))
        self._tasks.add(task)
        task.add_done_callback(partial(self._on_connected, on_answer=on_answer))

    async def ask(self, node: int, request: Any) -> Any:
        """Send one of aiokafka's requests to a broker and return its answer.

        Raises:
            one of `TRANSPORT_ERRORS`, or what `request` says.
        """
        connection = self._take_idle(node)
        if connection is None:
            connection = await self._cluster.connect(node)
            self._open.add(connection)
        try:
            response = await connection.send(request)
        except BaseException:
            self._drop(connection)  # what was sent may still arrive
            raise
        self._release(node, connection)
        return response

    def close(self) -> None:
        """Close all: who waits for an answer gets a transport error."""
        for task in self._tasks:
            task.cancel()
        connections, self._open = self._open, set()
        self._idle.clear()
        for connection in connections:
            connection.close()

    async def _connect(
        self, node: int, kind: RequestKind, body: Iterable[bytes], on_answer: OnAnswer
    ) -> None:
        try:
            connection = await self._cluster.connect(node)
        except TRANSPORT_ERRORS as error:
            raise NotSentError(str(error)) from error
        self._open.add(connection)
        self._send(node, connection, kind, body, on_answer)

    def _on_connected(self, task: asyncio.Task[None], *, on_answer: OnAnswer) -> None:
        """Whoever waits for an answer hears why there is none."""
        self._tasks.discard(task)
        if task.cancelled():
            on_answer(LogUnavailableError("expected an open log, but it ends"))
            return
        error = task.exception()
        if isinstance(error, Exception):
            on_answer(error)

    def _send(
        self,
        node: int,
        connection: BrokerConnection,
        kind: RequestKind,
        body: Iterable[bytes],
        on_answer: OnAnswer,
    ) -> None:
        def take(answer: memoryview | Exception) -> None:
            if isinstance(answer, Exception):
                self._drop(connection)  # what was sent may still arrive
            else:
                self._release(node, connection)
            on_answer(answer)

        try:
            connection.request(kind, body, take)
        except TRANSPORT_ERRORS as error:
            self._drop(connection)
            on_answer(error)

    def _take_idle(self, node: int) -> BrokerConnection | None:
        connections = self._idle.get(node, [])
        while connections:
            connection = connections.pop()
            if connection.is_open:
                return connection
            self._drop(connection)
        return None

    def _release(self, node: int, connection: BrokerConnection) -> None:
        if connection in self._open:
            self._idle.setdefault(node, []).append(connection)

    def _drop(self, connection: BrokerConnection) -> None:
        self._open.discard(connection)
        connection.close()
