"""Asks brokers which transactions are open on a partition, and whose they are.

aiokafka 0.14 has neither the DescribeProducers request (Kafka 2.8 and newer), which the
leader of a partition answers, nor ListTransactions (Kafka 3.0), which each coordinator
answers for its own; so their structures are defined here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiokafka.errors import for_code
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.types import (
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)
from aiokafka.structs import TopicPartition

from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.log.kafka.access import refusal_of
from sayiir_es.log.kafka.broker_connection import TRANSPORT_ERRORS
from sayiir_es.log.kafka.connection import LATEST, READ_COMMITTED
from sayiir_es.log.port import OpenTransaction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sayiir_es.log.kafka.connection import Cluster

_API_KEY = 61
_LIST_KEY = 66
_READ_UNCOMMITTED = 0
_TEXT = CompactString("utf-8")

_REQUEST = Schema(
    (
        "topics",
        CompactArray(
            ("name", _TEXT),
            ("partition_indexes", CompactArray(Int32)),
            ("tags", TaggedFields),
        ),
    ),
    ("tags", TaggedFields),
)

_RESPONSE = Schema(
    ("throttle_time_ms", Int32),
    (
        "topics",
        CompactArray(
            ("name", _TEXT),
            (
                "partitions",
                CompactArray(
                    ("partition_index", Int32),
                    ("error_code", Int16),
                    ("error_message", _TEXT),
                    (
                        "active_producers",
                        CompactArray(
                            ("producer_id", Int64),
                            ("producer_epoch", Int32),
                            ("last_sequence", Int32),
                            ("last_timestamp", Int64),
                            ("coordinator_epoch", Int32),
                            ("current_txn_start_offset", Int64),
                            ("tags", TaggedFields),
                        ),
                    ),
                    ("tags", TaggedFields),
                ),
            ),
            ("tags", TaggedFields),
        ),
    ),
    ("tags", TaggedFields),
)


_LIST_REQUEST = Schema(
    ("state_filters", CompactArray(_TEXT)),
    ("producer_id_filters", CompactArray(Int64)),
    ("tags", TaggedFields),
)

_LIST_RESPONSE = Schema(
    ("throttle_time_ms", Int32),
    ("error_code", Int16),
    ("unknown_state_filters", CompactArray(_TEXT)),
    (
        "transaction_states",
        CompactArray(
            ("transactional_id", _TEXT),
            ("producer_id", Int64),
            ("transaction_state", _TEXT),
            ("tags", TaggedFields),
        ),
    ),
    ("tags", TaggedFields),
)


def _structure(key: int, request: Any, response: Any) -> Any:
    """The request in version 0."""
    # Made by a call, not by a class statement: type checkers do not know the bases.
    fields = {"API_KEY": key, "API_VERSION": 0}
    answer = type(f"Response{key}_v0", (Response,), {**fields, "SCHEMA": response})
    more = {"FLEXIBLE_VERSION": True, "RESPONSE_TYPE": answer, "SCHEMA": request}
    return type(f"Request{key}_v0", (RequestStruct,), {**fields, **more})


_VERSION_0 = _structure(_API_KEY, _REQUEST, _RESPONSE)
_LIST_VERSION_0 = _structure(_LIST_KEY, _LIST_REQUEST, _LIST_RESPONSE)


class ProducersRequest:
    """The producers of one partition, as its leader remembers them."""

    def __init__(self, partition: TopicPartition) -> None:
        self._partition = partition

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> Any:
        """Return the structure, if the broker speaks it.

        Raises:
            NotImplementedError: it is older.
        """
        if _API_KEY not in versions:
            raise NotImplementedError("DescribeProducers")
        topic, index = self._partition
        return _VERSION_0([(topic, [index], {})], {})


class TransactionsRequest:
    """The transactions of some producers, as one coordinator knows them."""

    def __init__(self, producer_ids: list[int]) -> None:
        self._producer_ids = producer_ids

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> Any:
        """Return the structure, if the broker speaks it.

        Raises:
            NotImplementedError: it is older.
        """
        if _LIST_KEY not in versions:
            raise NotImplementedError("ListTransactions")
        return _LIST_VERSION_0([], self._producer_ids, {})


async def find_held_back(
    cluster: Cluster, partitions: Sequence[TopicPartition]
) -> tuple[TopicPartition, ...]:
    """Those partitions whose committed end is before their end: two small requests.

    Raises:
        LogUnavailableError: a leader did not answer.
    """
    committed = await _read_ends(cluster, partitions, READ_COMMITTED)
    ends = await _read_ends(cluster, partitions, _READ_UNCOMMITTED)
    return tuple(
        partition
        for partition, end in ends.items()
        if end > committed.get(partition, end)
    )


async def _read_ends(
    cluster: Cluster, partitions: Sequence[TopicPartition], isolation: int
) -> dict[TopicPartition, int]:
    by_leader: dict[int, list[TopicPartition]] = {}
    for partition in partitions:
        leader = cluster.leader(partition)
        if leader is not None:
            by_leader.setdefault(int(leader.nodeId), []).append(partition)
    ends: dict[TopicPartition, int] = {}
    for node, led in by_leader.items():
        topics: dict[str, list[tuple[int, int]]] = {}
        for partition in led:
            topics.setdefault(partition.topic, []).append((partition.partition, LATEST))
        try:
            response = await cluster.ask(
                OffsetRequest(-1, isolation, [*topics.items()]), node=node
            )
        except TRANSPORT_ERRORS as error:
            raise LogUnavailableError(f"expected offsets, but {error!r}") from error
        for topic, entries in response.topics:
            for number, code, _, end, *_ in entries:
                if not code:
                    ends[TopicPartition(topic, number)] = end
    return ends


async def read_open_transactions(
    cluster: Cluster, partition: TopicPartition
) -> tuple[OpenTransaction, ...]:
    """The transactions that are open on a partition.

    Raises:
        LogUnavailableError: its leader did not answer.
        LogRefusedError: it refused.
    """
    leader = cluster.leader(partition)
    if leader is None:
        raise LogUnavailableError(f"expected a leader of {partition}, but none")
    try:
        response = await cluster.ask(ProducersRequest(partition), node=leader.nodeId)
    except (NotImplementedError, *TRANSPORT_ERRORS) as error:
        raise LogUnavailableError(
            f"expected the producers of {partition}, but {error!r}"
        ) from error
    ((_, ((_, code, _, producers, _),), _),) = response.topics
    refusal = refusal_of(
        code,
        f"see the producers of {partition}",
        operation="Read",
        name=partition.topic,
        options=cluster.options,
    )
    if refusal is not None:
        raise refusal
    if code:
        raise LogUnavailableError(
            f"expected the producers of {partition}, but {for_code(code).__name__}"
        )
    opened = [entry for entry in producers if entry[5] >= 0]
    names = await _find_names(cluster, [entry[0] for entry in opened])
    return tuple(
        OpenTransaction(
            producer_id=producer_id,
            offset=start,
            last_written_ms=last_ms,
            where=f"{partition.topic!r} {partition.partition}",
            transactional_id=names.get(producer_id),
            advice=f"kafka-transactions.sh --bootstrap-server "
            f"{cluster.bootstrap_servers} abort --topic {partition.topic} --partition "
            f"{partition.partition} --start-offset {start}",
        )
        for producer_id, _, _, last_ms, _, start, _ in opened
    )


async def _find_names(cluster: Cluster, producer_ids: list[int]) -> dict[int, str]:
    """The transactional ids of producers, as far as the brokers tell them."""
    names: dict[int, str] = {}
    if not producer_ids:
        return names
    for node in cluster.nodes():
        try:
            response = await cluster.ask(TransactionsRequest(producer_ids), node=node)
        except (NotImplementedError, *TRANSPORT_ERRORS):
            continue  # the name is of use, and no more
        names |= {entry[1]: entry[0] for entry in response.transaction_states}
    return names
