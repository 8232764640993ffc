"""Start a workflow and wait for its end, with confluent-kafka and msgpack alone.

    python -m examples.wait_confluent localhost:9092 shop order-7

It starts `orders`, approves it, and prints how it ended; or why the start was refused.
Nothing but one partition of `shop.replies` is read. What is asked and answered may be
lost, so it asks again where it hears nothing, and when the partition has a new owner.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from typing import Any

import msgpack
from confluent_kafka import Consumer, Producer, TopicPartition

from examples.consume_confluent import LIMIT_S, open_consumer
from examples.produce_confluent import deliver, open_producer

CALL = 1
"""The number of the one call of this client."""

AGAIN_S = 5.0
"""After how many seconds without a reply it is asked what became of the command."""


def open_replies(bootstrap: str, app: str, client: str) -> tuple[Consumer, int]:
    """Return a consumer of one partition of the replies, from now on, and which."""
    topic = f"{app}.replies"
    consumer = open_consumer(bootstrap)
    count = len(consumer.list_topics(topic, LIMIT_S).topics[topic].partitions)
    partition = int(client, 16) % count
    place = TopicPartition(topic, partition)
    _, place.offset = consumer.get_watermark_offsets(place, LIMIT_S)
    consumer.assign([place])
    return consumer, partition


def wait_for_end(
    replies: Consumer,
    producer: Producer,
    question: dict[str, object],
    asked: TopicPartition,
    headers: dict[str, str],
) -> dict[str, Any]:
    """Return the reply to a call, asking again on the partition `asked`."""
    client = headers["reply-to"].split("/")[1].encode()
    end_s = time.monotonic() + LIMIT_S
    again_s = time.monotonic() + AGAIN_S
    while time.monotonic() < end_s:
        record = replies.poll(0.1)
        is_due = time.monotonic() > again_s
        if record is not None and record.error() is None and record.value():
            reply: dict[str, Any] = msgpack.unpackb(record.value())
            if record.key() == client and reply["call"] == CALL:
                return reply
            # A new owner knows nothing of what the one before was asked.
            is_new = reply["reply"] == "claimed"
            is_due |= is_new and reply["partition"] == asked.partition
        if is_due:
            again_s = time.monotonic() + AGAIN_S
            producer.produce(
                asked.topic,
                partition=asked.partition,
                value=msgpack.packb(question),
                headers=headers,
            )
            producer.flush(LIMIT_S)
    raise TimeoutError(f"expected a reply within {LIMIT_S} s; does a worker run?")


def main(bootstrap: str, app: str, instance_id: str) -> None:
    """Start an order, approve it, and print its end."""
    client = secrets.token_hex(8)
    replies, partition = open_replies(bootstrap, app, client)
    headers = {"reply-to": f"{partition}/{client}/{CALL}", "reply-when": "ended"}
    start = {
        "command": "StartWorkflow",
        "instance_id": instance_id,
        "command_id": secrets.token_hex(12),
        "workflow": "orders",
        "input": {"item": "teapot", "amount": 5},
    }
    approve = {
        "command": "SendSignal",
        "instance_id": instance_id,
        "signal": "approval",
        "payload": {"ok": True},
    }
    producer, commands = open_producer(bootstrap), f"{app}.commands"
    try:
        value = json.dumps(start).encode()
        place = deliver(producer, commands, instance_id, value, headers)
        deliver(producer, commands, instance_id, json.dumps(approve).encode())
        question = {
            "request": "decision",
            "instance_id": instance_id,
            "offset": place.offset,
            "command_id": start["command_id"],
        }
        asked = TopicPartition(f"{app}.requests", place.partition)
        reply = wait_for_end(replies, producer, question, asked, headers)
    finally:
        replies.close()
    if reply["reply"] == "ended":
        status = reply["status"]
        output = (status["output"] or b"").decode()
        sys.stdout.write(f"{instance_id} {status['status']}: {output}\n")
    else:  # decided or refused
        sys.stdout.write(f"{instance_id} {reply['code']}: {reply['message']}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
