"""Start and signal workflows without this library: a plain producer of JSON records.

    python examples/produce_json.py localhost:9092 10 sayiir.commands

It needs `pip install confluent-kafka` and a worker that runs `examples.orders`:

    sayiir-es worker run examples.orders --backend kafka://localhost:9092/sayiir

Any client in any language may do the same. librdkafka partitions keys by another hash
than Java's clients do: a command on the wrong partition is forwarded once, so nothing
has to be configured.
"""

from __future__ import annotations

import json
import sys

from confluent_kafka import KafkaError, Message, Producer

TOPIC = "sayiir.commands"


def on_delivery(error: KafkaError | None, record: Message) -> None:
    """Print a command's place in the log: `P@O` is the cause of its events."""
    if error is not None:
        sys.stderr.write(f"not delivered: {error}\n")
        return
    sys.stdout.write(f"command:{record.partition()}@{record.offset()}\n")


def main(bootstrap: str, count: int, topic: str = TOPIC) -> None:
    """Start `count` orders, and approve each."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            # A command that was acknowledged must survive the loss of any one broker.
            "acks": "all",
            # A retry of this producer is no second command.
            "enable.idempotence": True,
        }
    )
    for number in range(count):
        key = f"order-{number}"
        start = {
            "command": "StartWorkflow",
            "instance_id": key,  # may be left out: then the record's key is the id
            "workflow": "orders",
            "input": {"item": "teapot", "amount": 5},
        }
        # A signal may come before its instance: it is buffered. A second signal with
        # the same id is a duplicate, whoever sends it.
        approve = {
            "command": "SendSignal",
            "instance_id": key,
            "signal": "approval",
            "payload": {"ok": True},
            "signal_id": f"mail-{number}",
        }
        for command in (start, approve):
            producer.produce(
                topic, key=key, value=json.dumps(command), on_delivery=on_delivery
            )
        producer.poll(0)
    producer.flush(30)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
