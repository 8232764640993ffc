"""The bytes of a fetch request of one topic or more, and of its answer.

As with `produce_format`: field by field it costs ten times as much. Version 11 is in
each broker that gives topics an id (Kafka 2.8), which `describe` asks for.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from aiokafka.structs import TopicPartition

from sayiir_es.log.kafka.broker_connection import RequestKind

if TYPE_CHECKING:
    from collections.abc import Iterable

FETCH = RequestKind(1, 11)

_NO_REPLICA = -1
_NO_SESSION = (0, -1)
_UNKNOWN = -1
_NOTHING_FORGOTTEN_AND_NO_RACK = b"\0\0\0\0\0\0"
# Replica, time limit, fewest and most bytes, isolation, session and epoch, topics.
_HEAD = struct.Struct(">iiiibiii")
_COUNT = struct.Struct(">i")
_LENGTH = struct.Struct(">h")
_PLACE = struct.Struct(">iiqqi")  # partition, epoch, offset, start, most bytes
_ANSWER = struct.Struct(">iihii")  # number, throttle time, code, session, topics
_RESULT = struct.Struct(">ihqqqi")  # partition, code, ends, start, aborted count
_ABORTED = struct.Struct(">qq")  # producer id, first offset
_REST = struct.Struct(">ii")  # preferred replica, size of the records


class FetchLimits(NamedTuple):
    """How long a broker may wait for records, and how much it returns."""

    wait_ms: int
    total_bytes: int
    partition_bytes: int


class FetchAnswer(NamedTuple):
    """A broker's answer for one partition: an error code, or 0 and its records."""

    code: int
    aborted: list[tuple[int, int]]
    """The aborted transactions among them: producer id and first offset."""
    data: bytes


def encode_fetch(
    offsets: Iterable[tuple[TopicPartition, int]], isolation: int, limits: FetchLimits
) -> list[bytes]:
    """The parts of a request for what follows these offsets."""
    topics: dict[str, list[bytes]] = {}
    for (topic, number), offset in offsets:
        place = _PLACE.pack(number, _UNKNOWN, offset, _UNKNOWN, limits.partition_bytes)
        topics.setdefault(topic, []).append(place)
    parts = [
        _HEAD.pack(
            _NO_REPLICA,
            limits.wait_ms,
            1,
            limits.total_bytes,
            isolation,
            *_NO_SESSION,
            len(topics),
        )
    ]
    for topic, places in topics.items():
        name = topic.encode()
        parts += (_LENGTH.pack(len(name)), name, _COUNT.pack(len(places)), *places)
    parts.append(_NOTHING_FORGOTTEN_AND_NO_RACK)
    return parts


def decode_fetch(answer: memoryview) -> dict[TopicPartition, FetchAnswer]:
    """What a broker says of each partition; empty where it refuses the request."""
    answers: dict[TopicPartition, FetchAnswer] = {}
    _, _, _, _, topics = _ANSWER.unpack_from(answer)
    at = _ANSWER.size
    for _ in range(topics):
        (length,) = _LENGTH.unpack_from(answer, at)
        at += _LENGTH.size
        topic = str(answer[at : at + length], "utf-8")
        at += length
        (partitions,) = _COUNT.unpack_from(answer, at)
        at += _COUNT.size
        for _ in range(partitions):
            number, code, _, _, _, count = _RESULT.unpack_from(answer, at)
            at += _RESULT.size
            aborted: list[tuple[int, int]] = []
            for _ in range(count):  # -1 where there is none
                aborted.append(_ABORTED.unpack_from(answer, at))
                at += _ABORTED.size
            _, size = _REST.unpack_from(answer, at)
            at += _REST.size
            data = bytes(answer[at : at + size]) if size > 0 else b""
            at += max(size, 0)
            answers[TopicPartition(topic, number)] = FetchAnswer(code, aborted, data)
    return answers
