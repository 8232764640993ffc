"""Reaches brokers: one shared view of the cluster, and connections to the leaders.

`Cluster` wraps aiokafka's client: it knows who leads which partition, and sends short
requests.

Readers and appenders have connections of their own (`connection_pool`) instead of an
aiokafka consumer and producer, because:

* a broker answers the requests of one connection in order, so a reader's long poll must
  not delay an append;
* an appender that is given up must be able to stop at once. A producer retries in the
  background and cannot be stopped while its broker is away. Here nothing is sent again
  once its caller is gone; what was sent may land or not, which is what
  `UncertainAppendError` says;
* a claim costs one request.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import LeaderNotAvailableError, NodeNotReadyError
from aiokafka.protocol.offset import OffsetRequest

from sayiir_es.core.model.errors import LogRefusedError, LogUnavailableError
from sayiir_es.log.kafka import rebootstrap
from sayiir_es.log.kafka.access import find_refusal, refusal_of
from sayiir_es.log.kafka.broker_connection import (
    TRANSPORT_ERRORS,
    BrokerConnection,
    connect,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiokafka.structs import TopicPartition

# A request that takes longer than this is sent again, maybe to another broker.
# Shorter than an append's limit, so that a frozen broker does not cost the claim.
REQUEST_LIMIT_MS = 10_000
# Between attempts while a partition has no leader: an election lasts tens of these.
BACKOFF_S = 0.05
METADATA_AGE_MS = 3_000
"""How old what is known of the topics may be: partitions that somebody adds are heard
of so soon. One small request each time."""

OPEN_LIMIT_S = 10.0
CONNECT_LIMIT_S = 30.0
"""How long the first broker that answers is waited for, if nothing else is set."""

CONNECT_SETTING = "SAYIIR_KAFKA_CONNECT_LIMIT"
TOLD_AT_S = (1.0, 15.0, 60.0)
"""When it is said that no broker answers yet, in seconds; then each `TOLD_EACH_S`."""

TOLD_EACH_S = 300.0
OFFSETS_LIMIT_S = 30.0
READ_COMMITTED = 1
EARLIEST, LATEST = -2, -1


class Cluster:
    """The brokers behind one address, as one process sees them."""

    def __init__(self, bootstrap_servers: str, options: Mapping[str, Any]) -> None:
        """Connect nothing yet; `options` are passed to aiokafka."""
        self.bootstrap_servers = bootstrap_servers
        self.options: dict[str, Any] = {
            "client_id": "sayiir-es",
            "request_timeout_ms": REQUEST_LIMIT_MS,
            "metadata_max_age_ms": METADATA_AGE_MS,
            **options,
        }
        self.cluster_id: str | None = None
        """The only cluster that may stand behind the address, once it is known."""
        self._client: Any = None
        self._tracked: dict[str, None] = {}

    async def open(
        self,
        *,
        limit_s: float = CONNECT_LIMIT_S,
        on_wait: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Find the brokers; `on_wait` is told, in words, when that takes long.

        Raises:
            LogUnavailableError: no broker answers within `limit_s` seconds.
            AccessRefusedError: one answers, and does not let this client in.
        """
        waiting = asyncio.create_task(self._tell_waiting(limit_s, on_wait))
        try:
            await self._open(limit_s)
        finally:
            waiting.cancel()

    async def _tell_waiting(self, limit_s: float, tell: Callable[[str], None]) -> None:
        """Say that no broker answers yet: soon, then rarely."""
        passed_s = 0.0
        for at_s in itertools.chain(
            TOLD_AT_S, itertools.count(TOLD_EACH_S, TOLD_EACH_S)
        ):
            await asyncio.sleep(at_s - passed_s)
            passed_s = at_s
            tell(
                f"no broker at {self.bootstrap_servers!r} answers, for {at_s:g} s now: "
                f"one is waited for, {limit_s:g} s in all ({CONNECT_SETTING})"
            )

    async def _open(self, limit_s: float) -> None:
        client = AIOKafkaClient(
            bootstrap_servers=self.bootstrap_servers, **self.options
        )
        try:
            async with asyncio.timeout(limit_s):
                await _bootstrap(client, self.options)
        except (*TRANSPORT_ERRORS, asyncio.CancelledError) as error:
            await client.close()
            if isinstance(error, asyncio.CancelledError):
                raise
            raise LogUnavailableError(
                f"expected a Kafka broker at {self.bootstrap_servers!r}, "
                f"but none answered in {limit_s:.3g} s ({CONNECT_SETTING}): check the "
                "address, the network, and that the brokers run"
            ) from error
        except LogRefusedError:
            await client.close()
            raise
        rebootstrap.follow_names(client, self.options, lambda: self.cluster_id)
        self._client = client

    async def track(self, topics: list[str]) -> None:
        """Know from now on who leads the partitions of these topics too.

        They must exist: aiokafka's request lets a broker create those that do not, with
        settings that lose history.

        Raises:
            LogUnavailableError: it is not open.
        """
        self._tracked.update(dict.fromkeys(topics))
        self._open_client().set_topics(list(self._tracked))
        await self.refresh()

    def follow(self, told: Callable[[Mapping[str, int]], None]) -> None:
        """From now on tell how many partitions each tracked topic has, on each look."""

        def tell(metadata: Any) -> None:
            counts = {
                topic: len(partitions)
                for topic in self._tracked
                if (partitions := metadata.partitions_for_topic(topic))
            }
            told(counts)

        self._open_client().cluster.add_listener(tell)

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

    def nodes(self) -> list[int]:
        """The brokers that are known now, by their ids."""
        return [int(one.nodeId) for one in self._open_client().cluster.brokers()]

    async def connect(self, node: int) -> BrokerConnection:
        """A new connection to a broker.

        Raises:
            AccessRefusedError: it does not let this client in.
            one of `TRANSPORT_ERRORS`: it cannot be reached.
        """
        broker = self._open_client().cluster.broker_metadata(node)
        if broker is None:
            raise LeaderNotAvailableError(f"broker {node}")
        return await connect(broker, self.options)

    async def ask(self, request: Any, *, node: int | None = None) -> Any:
        """Send a request to a broker, any one unless `node` is given.

        Raises:
            AccessRefusedError: it does not let this client in.
            one of `TRANSPORT_ERRORS`: it does not answer.
        """
        client = self._open_client()
        asked = client.get_random_node() if node is None else node
        try:
            return await client.send(asked, request)
        except NodeNotReadyError:
            broker = client.cluster.broker_metadata(asked)
            if broker is not None:
                refusal = await find_refusal(broker.host, broker.port, self.options)
                if refusal is not None:
                    raise refusal from None
            raise

    async def offset(self, partition: TopicPartition, which: int) -> int:
        """Return the `EARLIEST` kept offset or the one past the `LATEST` record.

        Of another number, a time in epoch milliseconds: that of the first record which
        was written then or later; negative where there is none.

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
        name, ((_, code, _, offset),) = response.topics[0]
        refusal = refusal_of(
            code,
            f"learn the offsets of {name!r}",
            operation="Describe",
            name=name,
            options=self.options,
        )
        if refusal is not None:
            raise refusal
        return None if code else int(offset)

    def _open_client(self) -> Any:
        if self._client is None:
            raise LogUnavailableError("expected an open log, but it is closed")
        return self._client


async def _bootstrap(client: Any, options: Mapping[str, Any]) -> None:
    pause_s = BACKOFF_S * 4
    while True:
        try:
            await client.bootstrap()
        except TRANSPORT_ERRORS:
            for host, port, _ in client.hosts:
                refusal = await find_refusal(host, port, options)
                if refusal is not None:
                    raise refusal from None
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 1.0)
        else:
            return
