"""The frames on the Unix socket between the processes that use one log file.

A frame (`wire.msgpack_frames`) is an array that begins with its kind. Topics are named
by their values.

| kind | content | from | says |
|---|---|---|---|
| 0 hello | version | both, first | |
| 1 post | topic, partition, key, value, headers | both | a message |
| 2 subscribe | topic, partition, number | client | send me its messages |
| 3 subscribed | number | owner | what comes from now on is sent |
| 4 unsubscribe | topic, partition | client | |
| 5 watch | topic, partition | client | tell me of its commits |
| 6 unwatch | topic, partition | client | |
| 7 committed | topic, partition | both | there are new records |
| 8 wanted | by whom | client | waits to own the log: 0 nobody, 1 a call, 2 a worker |

A connection that brings anything else is closed; no other is touched.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, cast

from sayiir_es.log.port import NewRecord, Topic
from sayiir_es.wire.msgpack_frames import (
    LENGTH_BYTES,
    FrameError,
    decode_content,
    encode_frame,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = 1

FRAME_BYTES_MAX = 2 << 20
"""The largest frame, without its length; above the largest record of any topic."""

VALUE_BYTES_MAX = FRAME_BYTES_MAX - 4096
"""What a frame holds of a value, beside a key and headers."""

_PARTITION_MAX = 1 << 31

TopicPartition = tuple[Topic, int]


class Kind(IntEnum):
    """What a frame says."""

    HELLO = 0
    POST = 1
    SUBSCRIBE = 2
    SUBSCRIBED = 3
    UNSUBSCRIBE = 4
    WATCH = 5
    UNWATCH = 6
    COMMITTED = 7
    WANTED = 8


_NUMBERED = (Kind.HELLO, Kind.SUBSCRIBED, Kind.WANTED)
_OF_PARTITION = (Kind.UNSUBSCRIBE, Kind.WATCH, Kind.UNWATCH, Kind.COMMITTED)


class Frame:
    """A frame that was received: its kind, and the fields that this kind has."""

    __slots__ = ("kind", "number", "record", "topic_partition")

    def __init__(
        self,
        kind: Kind,
        *,
        topic_partition: TopicPartition = (Topic.REQUESTS, 0),
        number: int = 0,
        record: NewRecord | None = None,
    ) -> None:
        self.kind = kind
        self.topic_partition = topic_partition
        self.number = number
        self.record = record


def hello() -> bytes:
    """The first frame of each side."""
    return encode_frame((int(Kind.HELLO), VERSION))


def post(to: TopicPartition, record: NewRecord) -> bytes | None:
    """The frame of a message; None if it is too large for one."""
    topic, partition = to
    frame = encode_frame(
        (
            *(int(Kind.POST), topic.value, partition),
            *(record.key, record.value, record.headers),
        )
    )
    return frame if len(frame) <= FRAME_BYTES_MAX + LENGTH_BYTES else None


def subscribe(to: TopicPartition, number: int) -> bytes:
    """The frame that asks for a partition's messages; answered with the number."""
    topic, partition = to
    return encode_frame((int(Kind.SUBSCRIBE), topic.value, partition, number))


def subscribed(number: int) -> bytes:
    """The answer to a subscription."""
    return encode_frame((int(Kind.SUBSCRIBED), number))


def of_partition(kind: Kind, to: TopicPartition) -> bytes:
    """A frame that names a partition and nothing else."""
    topic, partition = to
    return encode_frame((int(kind), topic.value, partition))


def wanted(by: int) -> bytes:
    """The frame that says by whom the log is wanted."""
    return encode_frame((int(Kind.WANTED), by))


def decode(content: bytes) -> Frame:
    """Read a frame, without its length.

    Raises:
        FrameError: it is none.
    """
    fields = decode_content(content)
    try:
        return _read(fields)
    except (ValueError, TypeError) as error:
        raise FrameError(f"expected a frame of a known kind, but {error}") from error


def _array(value: object) -> Sequence[Any]:
    if not isinstance(value, tuple):
        raise TypeError("it, or its headers, is no array")
    return cast("Sequence[Any]", value)


def _read(fields: object) -> Frame:
    number, *rest = _array(fields)
    if type(number) is not int:
        raise TypeError("its kind is no number")
    kind = Kind(number)
    if kind in _NUMBERED:
        (value,) = rest
        return Frame(kind, number=_whole(value))
    topic, partition, *rest = rest
    to = Topic(topic), _whole(partition)
    if kind in _OF_PARTITION:
        () = rest
        return Frame(kind, topic_partition=to)
    if kind is Kind.SUBSCRIBE:
        (value,) = rest
        return Frame(kind, topic_partition=to, number=_whole(value))
    key, value, headers = rest
    record = NewRecord(key=_bytes(key), value=_bytes(value), headers=_headers(headers))
    return Frame(kind, topic_partition=to, record=record)


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < _PARTITION_MAX:
        raise ValueError("a number in it is out of range")
    return value


def _bytes(value: object) -> bytes | None:
    if value is not None and type(value) is not bytes:
        raise TypeError("its key or value is no bytes")
    return value


def _headers(value: object) -> tuple[tuple[str, bytes], ...]:
    headers: list[tuple[str, bytes]] = []
    for header in _array(value):
        name, content = _array(header)
        if type(name) is not str or type(content) is not bytes:
            raise TypeError("a header is no text and bytes")
        headers.append((name, content))
    return tuple(headers)
