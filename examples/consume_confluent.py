"""Read an app's events with confluent-kafka and fastavro alone, without this library.

    python -m examples.consume_confluent localhost:9092 sayiir
    python -m examples.consume_confluent localhost:9092 sayiir 3:1042

The first prints each instance with its workflow and status; the second the events of
one partition from an offset on. It needs `pip install confluent-kafka fastavro` and the
folder `schemas/`. docs/guides/consuming-events.md explains the rules that it applies.
"""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from fastavro import parse_schema, schemaless_reader
from fastavro.schema import fingerprint, to_parsing_canonical_form

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMAS = Path(__file__).resolve().parents[1] / "schemas"
HEAD_BYTES = 10  # C3 01 and the fingerprint of the schema that wrote the record
LIMIT_S = 30.0


class ClaimRule:
    """Tells the valid events of one partition from those of displaced owners."""

    def __init__(self, claim: int | None = None) -> None:
        self.claim = claim

    def takes(self, record: Message) -> bool:
        """Return whether the record is valid; call it for every record, in order."""
        headers = dict(record.headers() or ())
        if headers["kind"] == b"PartitionClaimed":
            self.claim = record.offset()
            return True
        return int(headers["claim"]) == self.claim


class Decoder:
    """Decodes events by the fingerprint of the schema at their beginning."""

    def __init__(self, folder: Path = SCHEMAS) -> None:
        self._schemas: dict[bytes, tuple[str, Any]] = {}
        for file in folder.rglob("io.sayiir.event.v1.*.avsc"):  # frozen ones too
            schema = json.loads(file.read_text(encoding="utf-8"))
            crc = fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO")
            head = b"\xc3\x01" + bytes.fromhex(crc)
            self._schemas[head] = (schema["name"], parse_schema(schema))

    def decode(self, value: bytes) -> dict[str, Any]:
        """Return the kind and the fields of an event.

        Raises:
            KeyError: if the event is of an unknown schema.
        """
        kind, schema = self._schemas[value[:HEAD_BYTES]]
        fields: Any = schemaless_reader(io.BytesIO(value[HEAD_BYTES:]), schema, None)
        return {"kind": kind, **fields}


def open_consumer(bootstrap: str) -> Consumer:
    """Return a consumer without a group that sees the ends of partitions."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused",  # librdkafka wants one; nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",  # never skip a hole in a history
        }
    )


def until_end(consumer: Consumer, places: list[TopicPartition]) -> Iterator[Message]:
    """Yield every record from these places on, until each partition has been read."""
    consumer.assign(places)
    open_ends = {place.partition for place in places}
    while open_ends:
        record = consumer.poll(LIMIT_S)
        if record is None:
            raise TimeoutError(f"expected records or an end within {LIMIT_S} s")
        error = record.error()
        if error is None:
            yield record
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (its public name)
            open_ends.discard(record.partition())
        else:
            raise KafkaException(error)


def claim_before(consumer: Consumer, topic: str, record: Message) -> int:
    """Return the claim in force just before a record that is no claim itself.

    Its own `claim` header says how far back to look: the last claim from there on.
    """
    oldest = max(int(dict(record.headers() or ())["claim"]), 0)
    claim = oldest
    places = [TopicPartition(topic, record.partition(), oldest)]
    for earlier in until_end(consumer, places):
        if earlier.offset() >= record.offset():
            break
        if dict(earlier.headers() or ())["kind"] == b"PartitionClaimed":
            claim = earlier.offset()
    return claim


def events_from(
    bootstrap: str, topic: str, partition: int, offset: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield offset and fields of a partition's valid events, from any offset on."""
    consumer, lookup = open_consumer(bootstrap), open_consumer(bootstrap)
    decoder, rule = Decoder(), None
    try:
        for record in until_end(consumer, [TopicPartition(topic, partition, offset)]):
            if rule is None:
                claims = dict(record.headers() or ())["kind"] == b"PartitionClaimed"
                rule = ClaimRule(
                    None if claims else claim_before(lookup, topic, record)
                )
            if rule.takes(record):
                yield record.offset(), decoder.decode(record.value() or b"")
    finally:
        consumer.close()
        lookup.close()


ENDS = {
    "WorkflowCompleted": "completed",
    "WorkflowFailed": "failed",
    "WorkflowCancelled": "cancelled",
    "WorkflowTerminated": "cancelled",
    "WorkflowPaused": "paused",
}
OPENS = {
    "PositionUpdated": "in_progress",
    "DelayStarted": "waiting",
    "SignalAwaited": "awaiting_signal",
}
CLOSES = {
    "TaskCompleted",
    "RouteChosen",
    "DelayElapsed",
    "SignalConsumed",
    "SignalTimedOut",
}


def names_of(mapping: dict[str, str]) -> dict[str, str]:
    """The new last segment of each path that a mapping names, or that is around it."""
    names: dict[str, str] = {}
    for old, new in mapping.items():
        segments = old.split("/")
        for depth, name in enumerate(new.split("/"), start=1):
            names["/".join(segments[:depth])] = name
    return names


def moved(path: str, names: dict[str, str]) -> str:
    """Where a path is behind a migration; iterations (`loop_0@3`) stay."""
    above: list[str] = []
    segments: list[str] = []
    for segment in path.split("/"):
        match = re.fullmatch("(.+?)(@[0-9]+)?", segment)
        name, iteration = match.groups("") if match else (segment, "")
        above.append(name)
        segments.append(names.get("/".join(above), name) + iteration)
    return "/".join(segments)


class Instance:
    """The status of one instance, folded from its events."""

    def __init__(self) -> None:
        self.workflow: str | None = None  # None: only signals or refusals so far
        self.phase = self.held = ""
        self.waits: dict[str, str] = {}

    def fold(self, event: dict[str, Any]) -> None:
        """Take the next valid event."""
        kind = event["kind"]
        if kind == "WorkflowStarted":
            self.workflow, self.phase, self.waits = event["workflow"], "", {}
        elif kind == "WorkflowMigrated":
            names = names_of(event["mapping"])
            self.waits = {moved(path, names): w for path, w in self.waits.items()}
        elif kind == "InstanceQuarantined":
            self.held, self.phase = self.phase, "quarantined"
        elif kind == "InstanceReleased":
            self.phase = self.held
        elif kind == "CompensationStarted":
            self.phase, self.waits = "", {}
        elif kind in ENDS:
            self.phase = ENDS[kind]
        elif kind in {"WorkflowUnpaused", "WorkflowRetried"}:
            self.phase = ""
        elif kind in OPENS:
            self.waits[event["path"]] = OPENS[kind]
        elif kind in CLOSES:
            self.waits.pop(event["path"], None)

    def status(self) -> str:
        """Return the status that `sayiir-es instance list` shows."""
        for status in ("in_progress", "waiting", "awaiting_signal"):
            if not self.phase and status in self.waits.values():
                return status
        return self.phase or "in_progress"


def instances(bootstrap: str, topic: str) -> dict[str, Instance]:
    """Return every instance of the app, as of now."""
    consumer, decoder = open_consumer(bootstrap), Decoder()
    try:
        count = len(consumer.list_topics(topic, LIMIT_S).topics[topic].partitions)
        places = [TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(count)]
        rules = [ClaimRule() for _ in places]
        instances_by_id: dict[str, Instance] = {}
        for record in until_end(consumer, places):
            if rules[record.partition() or 0].takes(record):
                event = decoder.decode(record.value() or b"")
                if event["sequence"]:  # 0: an event that changes no instance
                    instance_id = event["instance_id"]
                    instances_by_id.setdefault(instance_id, Instance()).fold(event)
    finally:
        consumer.close()
    return instances_by_id


def main(bootstrap: str, app: str, place: str = "") -> None:
    """Print statuses, or the events from a place `PARTITION:OFFSET` on."""
    topic = f"{app}.events"
    if place:
        partition, offset = (int(part) for part in place.split(":"))
        for event_offset, event in events_from(bootstrap, topic, partition, offset):
            place = f"{partition}@{event_offset}"
            sys.stdout.write(f"{place}\t{event['kind']}\t{event['instance_id']}\n")
        return
    for instance_id, instance in sorted(instances(bootstrap, topic).items()):
        if instance.workflow is not None:
            sys.stdout.write(
                f"{instance_id}\t{instance.workflow}\t{instance.status()}\n"
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
