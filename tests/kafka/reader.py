"""An independent reader of an app's events: confluent-kafka and fastavro, none of ours.

Theory of operation. It applies the claim rule and nothing else: a record counts iff the
last `PartitionClaimed` before it stands at the offset that its `claim` header names. It
shares no code with the engine, so that a mistake there is not made here as well. It can
be polled while the app lives, and reads on from where it was.
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
class Seen:
    """A valid event as it stands on the topic."""

    partition: int
    offset: int
    kind: str
    claim: int
    """Of its header."""
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
        """When, in epoch milliseconds, by the owner's clock."""
        return int(self.body["at"])

    @property
    def cause(self) -> str:
        """What it answers."""
        return str(self.body["cause"])

    def text(self, name: str) -> str:
        """A field of its own, as text."""
        return str(self.body[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class Stood:
    """A record as it stands in a partition."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


@dataclass(slots=True, kw_only=True)
class PartitionSeen:
    """What was read of one partition so far."""

    valid: list[Seen] = field(default_factory=list[Seen])
    ignored: list[int] = field(default_factory=list[int])
    """Offsets of records that the claim rule takes out."""
    problems: list[str] = field(default_factory=list[str])
    claim: int = -1
    next_offset: int = 0

    @property
    def claims(self) -> list[Seen]:
        """Every claim, in order."""
        return [event for event in self.valid if event.kind == CLAIM]

    def take(self, stood: Stood) -> Seen | None:
        """Take in the next record; the event if it counts."""
        offset, where = stood.offset, f"{stood.partition}@{stood.offset}"
        if offset != self.next_offset:
            self.problems.append(f"records {self.next_offset} to {where} are missing")
        self.next_offset = offset + 1
        try:
            header_kind = stood.headers["kind"].decode()
            claim = int(stood.headers["claim"])
        except (KeyError, ValueError) as error:
            self.problems.append(f"no headers at {where}: {error!r}")
            return None
        if header_kind != CLAIM and claim != self.claim:
            self.ignored.append(offset)
            return None
        try:
            kind, body = decode(stood.value or b"")
        except ValueError as error:
            self.problems.append(f"{error} at {where}")
            return None
        if kind != header_kind or body["claim"] != claim:
            self.problems.append(f"{kind} at {where} is not what its headers say")
        event = Seen(
            partition=stood.partition,
            offset=offset,
            kind=kind,
            claim=claim,
            key=stood.key,
            body=body,
        )
        self.valid.append(event)
        if kind == CLAIM:
            self.claim = offset
        return event


@cache
def schemas() -> dict[bytes, tuple[str, Any]]:
    """Fingerprint → kind and parsed schema, of every published event."""
    found: dict[bytes, tuple[str, Any]] = {}
    for file in SCHEMAS.glob("io.sayiir.event.v1.*.avsc"):
        # The canonical form has no logical types: a time stays a number.
        text: str = _schema.to_parsing_canonical_form(json.loads(file.read_text()))
        mark = bytes.fromhex(_schema.fingerprint(text, "CRC-64-AVRO"))
        schema = _fastavro.parse_schema(json.loads(text))
        found[mark] = (file.name.split(".")[-2], schema)
    return found


def decode(value: bytes) -> tuple[str, dict[str, Any]]:
    """The kind and the fields of an event.

    Raises:
        ValueError: if it is none of a published schema.
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
        self.partitions = {p: PartitionSeen() for p in range(partitions)}
        self.ended: dict[str, str] = {}
        """Instance → kind of its terminal event, as far as it was read."""
        self._consumer: Any = None

    def __enter__(self) -> Self:
        self._consumer = _consumer(self.bootstrap, f"{self.app}.events")
        self._consumer.assign(_at_start(f"{self.app}.events", self.partitions))
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def poll(self, wait_s: float = 0.2) -> int:
        """Take in what has come; returns how many records."""
        messages = self._consumer.consume(_BATCH, wait_s)
        taken = 0
        for message in messages:
            if message.error() is None:
                self._take(message)
                taken += 1
        return taken

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

    def valid(self) -> Iterator[Seen]:
        """Every valid event, partition by partition."""
        for seen in self.partitions.values():
            yield from seen.valid

    def of(self, instance_id: str) -> list[Seen]:
        """The valid events of one instance, in order."""
        return [event for event in self.valid() if event.instance_id == instance_id]

    def kinds(self, instance_id: str) -> list[str]:
        """Their kinds."""
        return [event.kind for event in self.of(instance_id)]

    def read_to_end(self) -> None:
        """Read until nothing more stands there now."""
        topic = f"{self.app}.events"
        ends = {p: end_offset(self._consumer, topic, p) for p in self.partitions}
        self.until(
            lambda: all(
                seen.next_offset >= ends[p] for p, seen in self.partitions.items()
            ),
            READ_LIMIT_S,
        )

    def _take(self, message: Any) -> None:
        event = self.partitions[message.partition()].take(
            Stood(
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
    """The offsets of every command that a reader of committed records is given."""
    found = records(bootstrap, f"{app}.commands", partitions)
    return {p: {m.offset() for m in messages} for p, messages in found.items()}


def records(bootstrap: str, topic: str, partitions: int) -> dict[int, list[Any]]:
    """Every record of a topic as of now, as confluent-kafka gives them."""
    consumer = _consumer(bootstrap, topic)
    found: dict[int, list[Any]] = {p: [] for p in range(partitions)}
    reached: set[int] = set()
    end_s = time.monotonic() + READ_LIMIT_S
    try:
        consumer.assign(_at_start(topic, found))
        while len(reached) < partitions:
            if time.monotonic() > end_s:
                raise TimeoutError(f"expected the end of {topic}, but it is away")
            for message in consumer.consume(_BATCH, 0.05):
                error = message.error()
                if error is None:
                    found[message.partition()].append(message)
                elif error.code() == _kafka.KafkaError._PARTITION_EOF:
                    reached.add(message.partition())
        return found
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
