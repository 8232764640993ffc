"""An independent reader of an app's events: confluent-kafka and fastavro, none of ours.

Theory of operation. It applies the claim rule and nothing else: a record is valid if
the last `PartitionClaimed` before it has the offset that its `claim` header names. It
shares no code with the engine, so that a mistake there is not made here as well. It can
be polled while the app runs, and goes on where it was.
"""

from __future__ import annotations

import io
import json
import time
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# By name: their type hints are partial or missing.
_kafka = import_module("confluent_kafka")
_fastavro = import_module("fastavro")
_schema = import_module("fastavro.schema")

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
CLAIM = "PartitionClaimed"
TERMINAL = frozenset(
    {"WorkflowCompleted", "WorkflowFailed", "WorkflowCancelled", "WorkflowTerminated"}
)
READ_LIMIT_S = 30.0
_MAGIC = b"\xc3\x01"
_BODY = 10
_BATCH = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadEvent:
    """A valid event of the topic."""

    partition: int
    offset: int
    kind: str
    claim: int
    """The claim in its header."""
    key: bytes | None
    body: dict[str, Any]

    @property
    def where(self) -> str:
        """Partition and offset, for people."""
        return f"{self.kind} at {self.partition}@{self.offset}"

    @property
    def instance_id(self) -> str:
        """The instance; empty in events of the partition."""
        return str(self.body["instance_id"])

    @property
    def at(self) -> int:
        """Its time, in epoch milliseconds, by the owner's clock."""
        return int(self.body["at"])

    @property
    def cause(self) -> str:
        """Its cause."""
        return str(self.body["cause"])

    def text(self, name: str) -> str:
        """A field of its body, as text."""
        return str(self.body[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicRecord:
    """A record of a partition."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


@dataclass(slots=True, kw_only=True)
class PartitionContent:
    """What was read of one partition so far."""

    valid: list[ReadEvent] = field(default_factory=list[ReadEvent])
    ignored: list[int] = field(default_factory=list[int])
    """Offsets of records that are not valid by the claim rule."""
    problems: list[str] = field(default_factory=list[str])
    claim: int = -1
    next_offset: int = 0

    @property
    def claims(self) -> list[ReadEvent]:
        """Every claim, in order."""
        return [event for event in self.valid if event.kind == CLAIM]

    def take(self, record: TopicRecord) -> ReadEvent | None:
        """Add the next record; returns its event if it is valid."""
        offset, where = record.offset, f"{record.partition}@{record.offset}"
        if offset != self.next_offset:
            self.problems.append(f"records {self.next_offset} to {where} are missing")
        self.next_offset = offset + 1
        try:
            header_kind = record.headers["kind"].decode()
            claim = int(record.headers["claim"])
        except (KeyError, ValueError) as error:
            self.problems.append(f"no headers at {where}: {error!r}")
            return None
        if header_kind != CLAIM and claim != self.claim:
            self.ignored.append(offset)
            return None
        try:
            kind, body = decode(record.value or b"")
        except ValueError as error:
            self.problems.append(f"{error} at {where}")
            return None
        if kind != header_kind or body["claim"] != claim:
            self.problems.append(f"{kind} at {where} is not what its headers say")
        event = ReadEvent(
            partition=record.partition,
            offset=offset,
            kind=kind,
            claim=claim,
            key=record.key,
            body=body,
        )
        self.valid.append(event)
        if kind == CLAIM:
            self.claim = offset
        return event


@cache
def schemas() -> dict[bytes, tuple[str, Any]]:
    """Fingerprint → kind and parsed schema, of every published event."""
    parsed: dict[bytes, tuple[str, Any]] = {}
    for file in SCHEMAS.glob("io.sayiir.event.v1.*.avsc"):
        # The canonical form has no logical types: a time stays a number.
        text: str = _schema.to_parsing_canonical_form(json.loads(file.read_text()))
        mark = bytes.fromhex(_schema.fingerprint(text, "CRC-64-AVRO"))
        schema = _fastavro.parse_schema(json.loads(text))
        parsed[mark] = (file.name.split(".")[-2], schema)
    return parsed


def decode(value: bytes) -> tuple[str, dict[str, Any]]:
    """The kind and the fields of an event.

    Raises:
        ValueError: if it has no published schema.
    """
    if value[:2] != _MAGIC or value[2:_BODY] not in schemas():
        raise ValueError(f"expected an event, but {value[:_BODY]!r}")
    kind, schema = schemas()[value[2:_BODY]]
    source = io.BytesIO(value[_BODY:])
    body: dict[str, Any] = _fastavro.schemaless_reader(source, schema)
    if source.read(1):
        raise ValueError(f"expected nothing behind the {kind}, but there is more")
    return kind, body


class EventReader:
    """Reads every partition of `<app>.events` from its beginning."""

    def __init__(self, bootstrap: str, app: str, partitions: int = 8) -> None:
        self.bootstrap = bootstrap
        self.app = app
        self.partitions = {p: PartitionContent() for p in range(partitions)}
        self.ended: dict[str, str] = {}
        """The kind of each instance's terminal event, as far as events were read."""
        self._consumer: Any = None

    def __enter__(self) -> Self:
        self._consumer = _consumer(self.bootstrap, f"{self.app}.events")
        self._consumer.assign(_at_start(f"{self.app}.events", self.partitions))
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def poll(self, wait_s: float = 0.2) -> int:
        """Read what has come; returns how many records."""
        messages = self._consumer.consume(_BATCH, wait_s)
        count = 0
        for message in messages:
            if message.error() is None:
                self._take(message)
                count += 1
        return count

    def until(self, condition: Callable[[], bool], limit_s: float) -> None:
        """Read on until a condition holds.

        Raises:
            TimeoutError: if it does not hold in time.
        """
        end = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(
                    f"expected {condition!r} within {limit_s} s, but it is not so"
                )
            self.poll()

    def valid(self) -> Iterator[ReadEvent]:
        """Every valid event, partition by partition."""
        for content in self.partitions.values():
            yield from content.valid

    def of(self, instance_id: str) -> list[ReadEvent]:
        """The valid events of one instance, in order."""
        return [event for event in self.valid() if event.instance_id == instance_id]

    def kinds(self, instance_id: str) -> list[str]:
        """The kinds of those events."""
        return [event.kind for event in self.of(instance_id)]

    def read_to_end(self) -> None:
        """Read up to the present end of every partition."""
        topic = f"{self.app}.events"
        ends = {p: end_offset(self._consumer, topic, p) for p in self.partitions}
        self.until(
            lambda: all(
                content.next_offset >= ends[p] for p, content in self.partitions.items()
            ),
            READ_LIMIT_S,
        )

    def _take(self, message: Any) -> None:
        event = self.partitions[message.partition()].take(
            TopicRecord(
                partition=message.partition(),
                offset=message.offset(),
                key=message.key(),
                value=message.value(),
                headers=dict(message.headers() or ()),
            )
        )
        if event is not None and event.kind in TERMINAL:
            self.ended[event.instance_id] = event.kind


def command_offsets(bootstrap: str, app: str, partitions: int) -> dict[int, set[int]]:
    """The offsets of all commands, as a reader of committed records sees them."""
    messages_by_partition = records(bootstrap, f"{app}.commands", partitions)
    return {
        p: {m.offset() for m in messages}
        for p, messages in messages_by_partition.items()
    }


def records(bootstrap: str, topic: str, partitions: int) -> dict[int, list[Any]]:
    """Every record of a topic, as messages of confluent-kafka, by partition."""
    consumer = _consumer(bootstrap, topic)
    messages: dict[int, list[Any]] = {p: [] for p in range(partitions)}
    ended: set[int] = set()
    end_s = time.monotonic() + READ_LIMIT_S
    try:
        consumer.assign(_at_start(topic, messages))
        while len(ended) < partitions:
            if time.monotonic() > end_s:
                raise TimeoutError(f"expected the end of {topic}, but it is away")
            for message in consumer.consume(_BATCH, 0.05):
                error = message.error()
                if error is None:
                    messages[message.partition()].append(message)
                elif error.code() == _kafka.KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
        return messages
    finally:
        consumer.close()


def end_offset(consumer: Any, topic: str, partition: int) -> int:
    """One above the last record."""
    where = _kafka.TopicPartition(topic, partition)
    return int(consumer.get_watermark_offsets(where, timeout=READ_LIMIT_S)[1])


def _consumer(bootstrap: str, topic: str) -> Any:
    return _kafka.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "log_level": 0,
            "group.id": f"{topic}-reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "reconnect.backoff.max.ms": 500,
            "fetch.wait.max.ms": 50,
        }
    )


def _at_start(topic: str, partitions: Any) -> list[Any]:
    return [_kafka.TopicPartition(topic, p, 0) for p in partitions]
