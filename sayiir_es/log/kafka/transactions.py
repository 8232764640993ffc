"""Asks the leader of a partition which transactions are open on it.

aiokafka 0.14 has no DescribeProducers request (Kafka 2.8 and newer), so its structures
are defined here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiokafka.errors import for_code
from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from sayiir_es.core.model.errors import LogUnavailableError
from sayiir_es.log.kafka.connection import TRANSPORT_ERRORS
from sayiir_es.log.port import OpenTransaction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiokafka.structs import TopicPartition

    from sayiir_es.log.kafka.connection import Cluster

_API_KEY = 61
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


def _structure(base: Any, schema: Any, **more: Any) -> Any:
    fields = {"API_KEY": _API_KEY, "API_VERSION": 0, "SCHEMA": schema, **more}
    return type(f"DescribeProducers{base.__name__}_v0", (base,), fields)


# Made by a call, not by a class statement: type checkers do not know the bases.
_VERSION_0 = _structure(
    RequestStruct,
    _REQUEST,
    FLEXIBLE_VERSION=True,
    RESPONSE_TYPE=_structure(Response, _RESPONSE),
)


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


async def read_open_transactions(
    cluster: Cluster, partition: TopicPartition
) -> tuple[OpenTransaction, ...]:
    """The transactions that are open on a partition.

    Raises:
        LogUnavailableError: its leader did not answer, or refused.
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
    if code:
        raise LogUnavailableError(
            f"expected the producers of {partition}, but {for_code(code).__name__}"
        )
    return tuple(
        OpenTransaction(producer_id=producer_id, offset=start, last_written_ms=last_ms)
        for producer_id, _, _, last_ms, _, start, _ in producers
        if start >= 0
    )
