"""Start a workflow with confluent-kafka alone, and wait for the owner's answer.

    python -m examples.produce_confluent localhost:9092 shop order-7

It starts `orders` and prints the event that answers: `WorkflowStarted`, or the
rejection and its reason. Run it twice: the second start is answered, and starts
nothing.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, Message, Producer, TopicPartition

from examples.consume_confluent import (
    LIMIT_S,
    ClaimRule,
    Decoder,
    claim_before,
    open_consumer,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from confluent_kafka import Consumer


def open_producer(bootstrap: str) -> Producer:
    """Return a producer whose acknowledged records are durable."""
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            # As Java's clients: then the command's partition is that of its events.
            # With any other partitioner the command is forwarded once.
            "partitioner": "murmur2_random",
        }
    )


def deliver(
    producer: Producer,
    topic: str,
    key: str,
    value: bytes,
    headers: dict[str, str] | None = None,
) -> TopicPartition:
    """Produce one record and return its place."""
    places: list[TopicPartition] = []

    def on_delivery(error: KafkaError | None, record: Message) -> None:
        if error is None:
            place = (record.topic(), record.partition(), record.offset())
            places.append(TopicPartition(*place))

    producer.produce(
        topic, key=key, value=value, headers=headers, on_delivery=on_delivery
    )
    if producer.flush(LIMIT_S) or not places:
        raise TimeoutError(f"expected {topic} to take a record within {LIMIT_S} s")
    return places[0]


def valid_events(
    consumer: Consumer, lookup: Consumer, place: TopicPartition
) -> Iterator[dict[str, Any]]:
    """Yield the valid events of a partition from a place on, as they are appended."""
    decoder, rule = Decoder(), None
    consumer.assign([place])
    end_s = time.monotonic() + LIMIT_S
    while time.monotonic() < end_s:
        record = consumer.poll(0.1)
        if record is None or record.error() is not None:  # the end, for now
            continue
        if rule is None:
            claims = dict(record.headers() or ())["kind"] == b"PartitionClaimed"
            claim = None if claims else claim_before(lookup, place.topic, record)
            rule = ClaimRule(claim)
        if rule.takes(record):
            yield decoder.decode(record.value() or b"")
    raise TimeoutError(f"expected an answer within {LIMIT_S} s; does a worker run?")


def main(bootstrap: str, app: str, instance_id: str) -> None:
    """Start an order and print its answer."""
    start = {
        "command": "StartWorkflow",
        "instance_id": instance_id,
        "workflow": "orders",
        "input": {"item": "teapot", "amount": 5},
    }
    consumer, lookup = open_consumer(bootstrap), open_consumer(bootstrap)
    events = f"{app}.events"
    try:
        count = len(consumer.list_topics(events, LIMIT_S).topics[events].partitions)
        # The answer comes after the present end of the command's partition.
        ends = [
            consumer.get_watermark_offsets(TopicPartition(events, p), LIMIT_S)[1]
            for p in range(count)
        ]
        value = json.dumps(start).encode()
        producer = open_producer(bootstrap)
        place = deliver(producer, f"{app}.commands", instance_id, value)
        cause = f"command:{place.partition}@{place.offset}"
        start_place = TopicPartition(events, place.partition, ends[place.partition])
        for event in valid_events(consumer, lookup, start_place):
            if event["cause"] == cause:
                detail = event.get("code", f"run {event['run']}")
                sys.stdout.write(f"{event['kind']} {instance_id}: {detail}\n")
                return
    finally:
        consumer.close()
        lookup.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
