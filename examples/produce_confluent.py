"""Start a workflow with confluent-kafka alone, and wait for the owner's answer.

    python -m examples.produce_confluent localhost:9092 shop order-7

It starts `orders` and prints the event that answers: `WorkflowStarted`, or what was
refused and why. Run it twice: the second start is answered, and starts nothing.
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
    """A producer whose acknowledged records are there to stay."""
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            # As Java's clients: the command's partition is then that of its events.
            # With any other the command is forwarded once, and works as well.
            "partitioner": "murmur2_random",
        }
    )


def deliver(producer: Producer, topic: str, key: str, value: bytes) -> TopicPartition:
    """Produce one record and return where it stands."""
    places: list[TopicPartition] = []

    def delivered(error: KafkaError | None, record: Message) -> None:
        if error is None:
            place = (record.topic(), record.partition(), record.offset())
            places.append(TopicPartition(*place))

    producer.produce(topic, key=key, value=value, on_delivery=delivered)
    if producer.flush(LIMIT_S) or not places:
        raise TimeoutError(f"expected {topic} to take a record within {LIMIT_S} s")
    return places[0]


def valid_events(
    consumer: Consumer, looker: Consumer, place: TopicPartition
) -> Iterator[dict[str, Any]]:
    """The valid events of a partition from a place on, as they come."""
    decoder, rule = Decoder(), None
    consumer.assign([place])
    end_s = time.monotonic() + LIMIT_S
    while time.monotonic() < end_s:
        record = consumer.poll(0.1)
        if record is None or record.error() is not None:  # the end, for now
            continue
        if rule is None:
            claims = dict(record.headers() or ())["kind"] == b"PartitionClaimed"
            claim = None if claims else claim_before(looker, place.topic, record)
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
    consumer, looker = open_consumer(bootstrap), open_consumer(bootstrap)
    events = f"{app}.events"
    try:
        count = len(consumer.list_topics(events, LIMIT_S).topics[events].partitions)
        # The answer stands behind what stands there now, on the command's partition.
        ends = [
            consumer.get_watermark_offsets(TopicPartition(events, p), LIMIT_S)[1]
            for p in range(count)
        ]
        value = json.dumps(start).encode()
        producer = open_producer(bootstrap)
        place = deliver(producer, f"{app}.commands", instance_id, value)
        cause = f"command:{place.partition}@{place.offset}"
        behind = TopicPartition(events, place.partition, ends[place.partition])
        for event in valid_events(consumer, looker, behind):
            if event["cause"] == cause:
                told = event.get("code", f"run {event['run']}")
                sys.stdout.write(f"{event['kind']} {instance_id}: {told}\n")
                return
    finally:
        consumer.close()
        looker.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
