"""Reaches brokers: one shared view of the cluster, and connections to the leaders.

`Cluster` wraps aiokafka's client: it knows who leads which partition, and sends short
requests. A `LeaderConnection` is a connection to the leader of one partition, for one
user.

Appenders and readers own such a connection, and not an aiokafka producer or consumer,
because:

* a broker answers the requests of one connection in order, so a reader's long poll must
  not delay an append;
* an appender that is given up must be able to stop at once. A producer retries in the
  background and cannot be stopped while its broker is away. A connection can be closed;
  what was sent over it may land or not, which is what `UncertainAppendError` says;
* a claim costs one connection and one request, and an append no switch between tasks.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError, LeaderNotAvailableError, for_code
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.structs import TopicPartition

from sayiir_es.core.model.errors import LogUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

# The errors of a connection, or of the wait for its answer.
TRANSPORT_ERRORS = (KafkaError, OSError, TimeoutError)
# A request that takes longer than this is sent again, maybe to another broker.
# Shorter than an append's limit, so that a frozen broker does not cost the claim.
REQUEST_LIMIT_MS = 10_000
# Between attempts while a partition has no leader: an election lasts tens of these.
BACKOFF_S = 0.05
OPEN_LIMIT_S = 10.0
OFFSETS_LIMIT_S = 30.0
READ_COMMITTED = 1
EARLIEST, LATEST = -2, -1

_CONNECTION_OPTIONS = (
    "client_id",
    "request_timeout_ms",
    "ssl_context",
    "security_protocol",
    "sasl_mechanism",
    "sasl_plain_username",
    "sasl_plain_password",
    "sasl_kerberos_service_name",
    "sasl_kerberos_domain_name",
    "sasl_oauth_token_provider",
)


class Cluster:
    """The brokers behind one address, as one process sees them."""

    def __init__(self, bootstrap_servers: str, options: Mapping[str, Any]) -> None:
        """Connect nothing yet; `options` are passed to aiokafka."""
        self.bootstrap_servers = bootstrap_servers
        self.options: dict[str, Any] = {
            "client_id": "sayiir-es",
            "request_timeout_ms": REQUEST_LIMIT_MS,
            **options,
        }
        self._client: Any = None

    async def open(self) -> None:
        """Find the brokers.

        Raises:
            LogUnavailableError: no broker answers within `OPEN_LIMIT_S`.
        """
        client = AIOKafkaClient(
            bootstrap_servers=self.bootstrap_servers, **self.options
        )
        try:
            async with asyncio.timeout(OPEN_LIMIT_S):
                await _bootstrap(client)
        except (*TRANSPORT_ERRORS, asyncio.CancelledError) as error:
            await client.close()
            if isinstance(error, asyncio.CancelledError):
                raise
            raise LogUnavailableError(
                f"expected a Kafka broker at {self.bootstrap_servers!r}, "
                f"but none answered in {OPEN_LIMIT_S:.0f} s"
            ) from error
        self._client = client

    async def track(self, topics: list[str]) -> None:
        """Know from now on who leads the partitions of these topics.

        They must exist: aiokafka's request lets a broker create those that do not, with
        settings that lose history.

        Raises:
            LogUnavailableError: it is not open.
        """
        self._open_client().set_topics(topics)
        await self.refresh()

    async def close(self) -> None:
        """Close the shared connections; those of appenders and readers are theirs."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def refresh(self) -> None:
        """Ask again who leads what; takes at least `BACKOFF_S` seconds."""
        update = self._open_client().force_metadata_update()
        await asyncio.sleep(BACKOFF_S)
        # A client that is closed meanwhile never answers: so the wait has a limit.
        await asyncio.wait([update], timeout=REQUEST_LIMIT_MS / 1000)

    def leader(self, partition: TopicPartition) -> Any | None:
        """Return the address of the partition's leader, None while it has none."""
        cluster = self._open_client().cluster
        node = cluster.leader_for_partition(partition)
        return None if node in (None, -1) else cluster.broker_metadata(node)

    async def ask(self, request: Any, *, node: int | None = None) -> Any:
        """Send a request to a broker, any one unless `node` is given."""
        client = self._open_client()
        return await client.send(
            client.get_random_node() if node is None else node, request
        )

    async def offset(self, partition: TopicPartition, which: int) -> int:
        """Return the `EARLIEST` kept offset or the one past the `LATEST` record.

        Raises:
            LogUnavailableError: the leader did not answer within `OFFSETS_LIMIT_S`.
        """
        topic_request = (partition.topic, [(partition.partition, which)])
        request = OffsetRequest(-1, READ_COMMITTED, [topic_request])
        try:
            async with asyncio.timeout(OFFSETS_LIMIT_S):
                while True:
                    leader = self.leader(partition)
                    offset = leader and await self._list_offset(request, leader.nodeId)
                    if offset is not None:
                        return int(offset)
                    await self.refresh()
        except TimeoutError as error:
            raise LogUnavailableError(
                f"expected the offsets of {partition.topic!r} {partition.partition}, "
                f"but no leader answered in {OFFSETS_LIMIT_S:.0f} s"
            ) from error

    async def _list_offset(self, request: Any, node: int) -> int | None:
        try:
            response = await self.ask(request, node=node)
        except TRANSPORT_ERRORS:
            return None
        _, code, _, offset = response.topics[0][1][0]
        if code and not for_code(code).retriable:
            raise LogUnavailableError(
                f"expected offsets, but the broker refused: {for_code(code).__name__}"
            )
        return None if code else int(offset)

    def _open_client(self) -> Any:
        if self._client is None:
            raise LogUnavailableError("expected an open log, but it is closed")
        return self._client


async def _bootstrap(client: Any) -> None:
    while True:
        try:
            await client.bootstrap()
        except TRANSPORT_ERRORS:
            await asyncio.sleep(BACKOFF_S * 4)
        else:
            return


class LeaderConnection:
    """A connection to the leader of a partition, whichever broker that is now."""

    def __init__(self, cluster: Cluster, topic: str, partition: int) -> None:
        self._cluster = cluster
        self.partition = TopicPartition(topic, partition)
        options = cluster.options
        self._options = {k: options[k] for k in _CONNECTION_OPTIONS if k in options}
        self._connection: Any = None
        self._closed = False

    async def send(self, request: Any) -> Any:
        """Send a request to the leader and return its answer.

        Raises:
            one of `TRANSPORT_ERRORS`: call `recover`, then try again.
        """
        connection = self._connection
        if connection is None or not connection.connected():
            connection = await self._connect()
        return await connection.send(request)

    async def recover(self) -> None:
        """Drop the connection and find out who leads now."""
        self._drop()
        await self._cluster.refresh()

    def close(self) -> None:
        """Close it for good; what was sent may still arrive."""
        self._closed = True
        self._drop()

    async def _connect(self) -> Any:
        leader = self._cluster.leader(self.partition)
        if leader is None:
            raise LeaderNotAvailableError(str(self.partition))
        connection = await create_conn(leader.host, leader.port, **self._options)
        if self._closed:
            connection.close()
            raise LogUnavailableError("expected an open lane, but it was closed")
        self._connection = connection
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
