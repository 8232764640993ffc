"""The bytes of a produce request, and of its answer.

aiokafka encodes each field by some calls of its own, which costs ten times as much; and
most of what this process sends are such requests. Version 7 is in each broker that
gives topics an id (Kafka 2.8), which `describe` asks for.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from aiokafka.structs import TopicPartition

from sayiir_es.log.kafka.broker_connection import RequestKind

if TYPE_CHECKING:
    from collections.abc import Iterable

PRODUCE = RequestKind(0, 7)

_NO_TRANSACTION = -1
_ALL_REPLICAS = -1
_HEAD = struct.Struct(">hhii")  # transactional id, replicas, time limit, topics
_COUNT = struct.Struct(">i")
_LENGTH = struct.Struct(">h")
_BATCH = struct.Struct(">ii")  # partition, size
_RESULT = struct.Struct(">ihqqq")  # partition, code, offset, time, start of the log
_ANSWER_AT = 4  # behind the number of the request


class AppendAnswer(NamedTuple):
    """A broker's answer for one batch: an error code, or 0 and its first offset."""

    code: int
    base: int


def encode_produce(
    batches: Iterable[tuple[TopicPartition, bytes]], limit_ms: int
) -> list[bytes]:
    """The parts of a request that waits for all replicas, for `limit_ms` at most."""
    topics: dict[str, list[bytes]] = {}
    for (topic, number), data in batches:
        topics.setdefault(topic, []).extend((_BATCH.pack(number, len(data)), data))
    parts = [_HEAD.pack(_NO_TRANSACTION, _ALL_REPLICAS, limit_ms, len(topics))]
    for topic, entries in topics.items():
        name = topic.encode()
        count = _COUNT.pack(len(entries) // 2)
        parts += (_LENGTH.pack(len(name)), name, count, *entries)
    return parts


def decode_produce(answer: memoryview) -> dict[TopicPartition, AppendAnswer]:
    """What a broker says of each batch of a request."""
    answers: dict[TopicPartition, AppendAnswer] = {}
    (topics,) = _COUNT.unpack_from(answer, _ANSWER_AT)
    at = _ANSWER_AT + _COUNT.size
    for _ in range(topics):
        (length,) = _LENGTH.unpack_from(answer, at)
        at += _LENGTH.size
        topic = str(answer[at : at + length], "utf-8")
        at += length
        (partitions,) = _COUNT.unpack_from(answer, at)
        at += _COUNT.size
        for _ in range(partitions):
            number, code, base, _, _ = _RESULT.unpack_from(answer, at)
            answers[TopicPartition(topic, number)] = AppendAnswer(code, base)
            at += _RESULT.size
    return answers
